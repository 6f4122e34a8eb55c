// Operations defined by users: a struct with a static forward and a static backward.
//
//   struct Swish : Function<Swish> {
//     static Var forward(SavedTensors& saved, const Var& x) { saved.save({x}); return x * sigmoid(x); }
//     static Var backward(const SavedTensors& saved, const Var& gy) {
//       Var x = saved[0], s = sigmoid(x);
//       return gy * (s + x * s * (1 - s));
//     }
//   };
//   Var y = Swish::apply(x);
//
// apply takes Vars; other numbers are template parameters of the struct, or tensors.
//
// backward returns a Var for one input, or std::vector<Var> with one entry per input (undefined for "no gradient").
// Written with operations on variables, it can be differentiated again, as far as it depends on gy and on saved inputs
// and outputs: what else forward computed counts as a constant. forward runs without recording. For the sweep
// of autograd/curvature.h add a third function, curvature(const SavedTensors&, const Var& gy, const Var& hy), from the
// diagonal curvature of the output to that of the inputs: f'^2 hy + f'' gy.
#pragma once

#include <forward_list>
#include <type_traits>
#include <variant>
#include <vector>

#include "autograd/record.h"
#include "core/error.h"

namespace gradus {

/// Tensors that forward keeps for backward. Each remembers its version.
class SavedTensors {
 public:
  /// Inputs of the operation, its output, or any constant. Do not save what was computed on the way: it is a constant
  /// to the gradient of the gradient. Let backward compute it again from the inputs.
  void save(std::initializer_list<Var> vars) {
    for (const Var& v : vars) saved_.emplace_back(Saved(v));
  }
  size_t size() const { return saved_.size(); }
  /// For backward and curvature, until they return. Throws if the tensor was changed in place after it was saved, or
  /// if there are not as many.
  const Var& operator[](size_t i) const {
    if (i >= saved_.size())
      fail(ErrorKind::value, "function", "forward saved ", saved_.size(), " tensors, but saved[", i, "] was asked for");
    if (const auto* output = std::get_if<SavedOutput>(&saved_[i]))
      return outputs_->emplace_front(output->get(*inputs_));
    return std::get<Saved>(saved_[i]).get(*inputs_);
  }

 private:
  template <class>
  friend struct Function;
  /// Where the output itself was saved, it stays on the tape.
  void set_output(const Tensor& output) {
    for (auto& saved : saved_)
      if (std::get<Saved>(saved).is(output)) saved = SavedOutput(output);
  }

  std::vector<std::variant<Saved, SavedOutput>> saved_;
  const Inputs* inputs_ = nullptr;
  std::forward_list<Var>* outputs_ = nullptr;  ///< outlives no walk, for each holds the node that holds this
};

template <class Derived>
struct Function {
  template <class... Vars>
  static Var apply(const Vars&... vars) {
    SavedTensors saved;
    Tensor output;
    {
      NoGrad guard;
      output = Derived::forward(saved, vars...).value();
    }
    if (!output.defined()) fail(ErrorKind::value, "function", "forward must return a value, but its Var is undefined");
    if (!(Saved(vars).is(output) || ...)) saved.set_output(output);  // rather than a constant that is handed through
    constexpr bool has_rule = requires(const SavedTensors& s, const Var& g) { Derived::curvature(s, g, g); };
    auto gradient = [saved = std::move(saved)](const Var& gy, const Inputs& in, const Curvature& h) mutable {
      std::forward_list<Var> outputs;
      saved.inputs_ = &in;
      saved.outputs_ = &outputs;
      put(
          "backward", Derived::backward(std::as_const(saved), gy), [&](size_t i) -> Var& { return in[i]; }, in.size());
      if constexpr (has_rule)
        if (h)
          put(
              "curvature", Derived::curvature(std::as_const(saved), gy, h.y()), [&](size_t i) -> Var& { return h[i]; },
              in.size());
    };
    if constexpr (has_rule)
      return record("function", std::move(output), {VarRef(vars)...}, std::move(gradient));
    else
      return record("function", std::move(output), {VarRef(vars)...},
                    [gradient = std::move(gradient)](const Var& gy, Inputs in) mutable { gradient(gy, in, {}); });
  }

 private:
  template <class Result, class Place>
  static void put(const char* from, Result result, Place place, size_t size) {
    size_t came = 1;
    if constexpr (!std::is_same_v<Result, Var>) came = result.size();
    if (came != size)  // rather than to leave inputs without a gradient
      fail(ErrorKind::value, "function", from, " must return one Var for each of the ", size, " inputs, got ", came,
           ": use std::vector<Var>, with undefined ones for \"no gradient\"");
    if constexpr (std::is_same_v<Result, Var>)
      place(0) = std::move(result);
    else
      for (size_t i = 0; i < size; ++i) place(i) = std::move(result[i]);
  }
};

}  // namespace gradus
