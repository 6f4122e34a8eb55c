// State slots: every stage of an optimizer lists what it remembers as named references, so that saving, loading and
// counting bytes are written once.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "core/tensor.h"

namespace gradus::optim {

/// One remembered value.
struct Slot {
  std::string name;
  std::variant<Tensor*, double*, int64_t*> value;
  Tensor like;  ///< of a tensor: its shape, dtype and memory order, also where it is undefined now
};

/// Collects the slots of one parameter. Nested stages add a prefix to their names: "fop.adam.first_moment".
class Slots {
 public:
  /// A tensor that is always defined.
  void add(const std::string& name, Tensor& tensor) { add(name, tensor, tensor); }
  /// A tensor that is at times undefined (saved as an empty one of shape [0]) and otherwise is like `like`.
  void add(const std::string& name, Tensor& tensor, const Tensor& like) {
    slots_.push_back({prefix_ + name, &tensor, like});
  }
  void add(const std::string& name, double& number) { slots_.push_back({prefix_ + name, &number, {}}); }
  void add(const std::string& name, int64_t& count) { slots_.push_back({prefix_ + name, &count, {}}); }

  /// What `stage` lists, under "name.".
  template <class Stage>
  void nest(const std::string& name, Stage& stage) {
    const std::string outer = prefix_;
    prefix_ += name + ".";
    stage.slots(*this);
    prefix_ = outer;
  }

  auto begin() const { return slots_.begin(); }
  auto end() const { return slots_.end(); }

 private:
  std::string prefix_;
  std::vector<Slot> slots_;
};

}  // namespace gradus::optim
