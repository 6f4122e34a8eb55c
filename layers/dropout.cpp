// Dropout.
#include "layers/dropout.h"

#include "core/error.h"
#include "core/ranges.h"

namespace gradus {

Dropout::Dropout(double p) : p_(p) {
  if (!is_fraction(p)) fail(ErrorKind::value, "Dropout", "the probability must be in [0, 1), got ", p);
}

Var Dropout::forward(const Var& x) { return training() && p_ > 0 ? dropout(x, p_, next_draw()) : x; }

std::string Dropout::describe() const { return text("Dropout(", p_, ")"); }

}  // namespace gradus
