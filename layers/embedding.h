// Rows of a table by number, for words, characters and positions.
#pragma once

#include "layers/module.h"

namespace gradus {

/// index [...] int64 in [0, count) -> [..., features]; weight [count, features]. Initialized as PyTorch: standard
/// normal.
class Embedding : public Module {
 public:
  Embedding(int64_t count, int64_t features);
  Var forward(const Var& index) override;
  std::string describe() const override;

  const Parameter& weight() const { return weight_; }

 private:
  int64_t count_, features_;
  Parameter weight_;
};

}  // namespace gradus
