// A model that is one function.
#pragma once

#include <functional>

#include "layers/module.h"

namespace gradus {

class Formula : public Module {
 public:
  explicit Formula(std::function<Var(const Var&)> forward) : forward_(std::move(forward)) {}
  Var forward(const Var& x) override { return forward_(x); }
  std::string describe() const override { return "Formula"; }

 private:
  std::function<Var(const Var&)> forward_;
};

}  // namespace gradus
