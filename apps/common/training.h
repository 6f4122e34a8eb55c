// Training and evaluating a classifier: one epoch each, without any output.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "core/error.h"
#include "data/loader.h"
#include "layers/module.h"
#include "optim/ema.h"
#include "optim/optimizer.h"

namespace gradus::apps {

/// Sums over the images that were seen.
struct Score {
  double loss_sum = 0;
  int64_t correct = 0, images = 0;
  int64_t correct_top5 = 0;  ///< the right class is among the five likeliest; counted in evaluation only
  int64_t skipped = 0;       ///< batches left out because something in them was not finite

  double loss() const { return loss_sum / static_cast<double>(images); }
  /// In [0, 1].
  double accuracy() const { return static_cast<double>(correct) / static_cast<double>(images); }
  double top5_accuracy() const { return static_cast<double>(correct_top5) / static_cast<double>(images); }
};

/// How far a training has come. Together with the seed, the parameters, the buffers and the optimizer's slots it
/// decides everything that follows: batches are pure functions of (seed, epoch, batch), dropout of (seed, step).
struct TrainingState {
  int64_t epoch = 0;  ///< complete ones
  int64_t batch = 0;  ///< steps of the epoch under way
  int64_t step = 0;   ///< all of them
  Score score = {};   ///< of the epoch under way, each batch before its step
};

/// A loss or a gradient is not finite; the text says which, where, and why as far as it can be told.
struct NotFinite : Error {
  explicit NotFinite(const std::string& text) : Error(ErrorKind::value, text) {}
};

/// What train_epoch() and evaluate() call after each batch; false ends the work early.
using AfterBatch = std::function<bool(const Score& so_far)>;

class CapturedStep;

struct EpochOptions {
  double label_smoothing = 0;  ///< of the loss that is trained
  optim::Ema* ema = nullptr;   ///< updated after every step
  /// Parts of a batch that are computed one after another, so that the memory of one part suffices; their gradients add
  /// up to the batch's. Batch normalization sees each part alone. Where the parts of a full batch have two images or
  /// more, so have those of a smaller one, which are fewer then.
  int64_t accumulate = 1;
  /// Where given, a batch whose loss or gradient is not finite changes nothing but score.skipped, and this is called
  /// with the reason. An epoch of nothing else still throws.
  std::function<void(const std::string& reason)> skip = {};
  /// Called with the reason where a batch of a single image, as a last one may be, is left out, because a layer of
  /// batch normalization would see one value per channel. Where every batch has a single image that layer throws.
  std::function<void(const std::string& reason)> left_out = {};
  /// Where given, it takes the steps that it can, unless they are accumulated or skipped. Then `after` is called, and
  /// the score is complete, when it is due and at the end of the epoch; and a loss that is not finite is found no
  /// earlier, after the step that it made.
  CapturedStep* captured = nullptr;
};

/// Goes on with the epoch state.epoch from state.batch. Returns its score, and state is at the beginning of the next
/// epoch then; or nothing where `after` ended it early. Throws NotFinite before the step that a loss or a gradient that
/// is not finite would take.
std::optional<Score> train_epoch(Module& model, optim::Optimizer& optimizer, const Loader& loader, TrainingState& state,
                                 const AfterBatch& after, const EpochOptions& options = {});

/// Cross-entropy and accuracies in evaluation mode; nothing where `after` ended it early.
std::optional<Score> evaluate(Module& model, const Loader& loader, const AfterBatch& after);

}  // namespace gradus::apps
