// Rows of a table by number.
#include "layers/embedding.h"

#include "core/error.h"
#include "layers/init.h"

namespace gradus {

Embedding::Embedding(int64_t count, int64_t features) : count_(count), features_(features) {
  if (count < 1 || features < 1)
    fail(ErrorKind::value, "Embedding", "sizes must be positive, but Embedding(", count, ", ", features, ") was asked");
  weight_ = parameter("weight", Tensor::empty({count, features}),
                      {.layer = LayerKind::embedding, .role = ParamRole::weight, .out = features, .in = count});
  init::normal(weight_.value(), 0, 1);
}

Var Embedding::forward(const Var& index) { return embedding(weight_, index.value()); }

std::string Embedding::describe() const { return text("Embedding(", count_, ", ", features_, ")"); }

}  // namespace gradus
