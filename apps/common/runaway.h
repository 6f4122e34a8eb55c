// A learned preconditioner that runs away: under momentum P may grow for as long as the learning rate is high, until
// the training is worse for it (docs/your-own-preconditioner.md). It is seen by what P does to the gradient.
#pragma once

#include <string>

#include "optim/optimizer.h"

namespace gradus::apps {

struct TrainingFlags;

/// How many times as long as the P that learning started with some P makes its parameter's gradient. In the trainings
/// of docs/results that learn well it is at most 4.5 (S-HD at the end of 150 epochs; 2.9 with the others). Where
/// accuracy suffers, with FOP on the gradient in figure_5, it passes 6 half-way and ends at 12.5.
inline constexpr double runaway_gain = 6;

/// What to tell of the parameter whose P has grown most, with the remedies that `flags` leave; "" while none has grown
/// so far. Where the training is `lost`, its loss no longer finite, P may have grown by gradients that grew before,
/// which the note leaves open; where those of the last step are zero or not finite, P is judged by what it makes of
/// ones. Looks at the gradients of the last step, at the price of a few products with P, and changes nothing.
std::string runaway_note(const optim::Optimizer& optimizer, const TrainingFlags& flags, bool lost);

}  // namespace gradus::apps
