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
// backward returns a Var for one input, or std::vector<Var> with one entry per input (undefined for "no gradient").
// Written with operations on variables, it can be differentiated again. forward runs without recording. For the sweep
// of autograd/curvature.h add a third function, curvature(const SavedTensors&, const Var& gy, const Var& hy), from the
// diagonal curvature of the output to that of the inputs: f'^2 hy + f'' gy.
#pragma once

#include <type_traits>
#include <vector>

#include "autograd/record.h"
#include "core/error.h"

namespace gradus {

/// Tensors that forward keeps for backward. Each remembers its version.
class SavedTensors {
 public:
  /// Inputs of the operation, or any constant.
  void save(std::initializer_list<Var> vars) {
    for (const Var& v : vars) saved_.emplace_back(v);
  }
  size_t size() const { return saved_.size(); }
  /// Throws if the tensor was changed in place after it was saved.
  const Var& operator[](size_t i) const { return saved_.at(i).get(*inputs_); }

 private:
  template <class>
  friend struct Function;
  std::vector<Saved> saved_;
  const Inputs* inputs_ = nullptr;
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
    const auto gradient = [](SavedTensors& kept, const Var& gy, const Inputs& in) {
      kept.inputs_ = &in;
      put(
          "backward", Derived::backward(std::as_const(kept), gy), [&](size_t i) -> Var& { return in[i]; }, in.size());
    };
    if constexpr (requires(const SavedTensors& s, const Var& g) { Derived::curvature(s, g, g); })
      return record("function", std::move(output), {VarRef(vars)...},
                    [saved = std::move(saved), gradient](const Var& gy, Inputs in, Curvature h) mutable {
                      gradient(saved, gy, in);
                      if (h)
                        put(
                            "curvature", Derived::curvature(std::as_const(saved), gy, h.y()),
                            [&](size_t i) -> Var& { return h[i]; }, in.size());
                    });
    else
      return record(
          "function", std::move(output), {VarRef(vars)...},
          [saved = std::move(saved), gradient](const Var& gy, Inputs in) mutable { gradient(saved, gy, in); });
  }

 private:
  template <class Result, class Place>
  static void put(const char* from, Result result, Place place, size_t size) {
    size_t came = 1;
    if constexpr (!std::is_same_v<Result, Var>) came = result.size();
    if (came != size)  // rather than to leave inputs without a gradient
      fail(ErrorKind::value, "function", from, " must return one Var for each of the ", size, " inputs, but ", came,
           " came: use std::vector<Var>, with undefined ones for \"no gradient\"");
    if constexpr (std::is_same_v<Result, Var>)
      place(0) = std::move(result);
    else
      for (size_t i = 0; i < size; ++i) place(i) = std::move(result[i]);
  }
};

}  // namespace gradus
