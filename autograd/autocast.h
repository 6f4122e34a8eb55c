// Mixed precision: activations and products in bfloat16, parameters and everything that needs their precision in
// float32.
#pragma once

#include <string_view>

#include "autograd/variable.h"
#include "core/dtype.h"

namespace gradus {

/// While one lives, operations on variables on this thread choose their precision:
///
///   for (const auto& [images, labels] : loader.epoch(epoch)) {
///     const Autocast scope(DType::bfloat16);
///     optimizer.zero_grad();
///     cross_entropy(model(images), labels).backward();
///     optimizer.step();
///   }
///
/// - conv2d, linear and matmul round float32 operands to bfloat16 and return it. The weight of conv2d and linear is the
///   float32 parameter still, whose gradient is summed and arrives in float32.
/// - Activations stay bfloat16 through pooling, batch norm (statistics and parameters float32), dropout and elementwise
///   operations, which compute in float32 and round their results.
/// - sum, mean, softmax, log_softmax, layer_norm, group_norm and the losses take bfloat16 as float32 and return it.
/// - Where the operands of an elementwise operation, concat, stack or scatter_add are of both, all become float32.
///
/// A walk back computes in the dtypes that the way forward took, inside a scope or not. float64 is left alone, and
/// DType::float32 casts nothing, within a scope too.
class Autocast {
 public:
  /// Throws ErrorKind::value for a dtype other than these two, ErrorKind::device on a GPU without bfloat16. A processor
  /// without instructions for it computes in float32, and warn() says so once.
  [[nodiscard]] explicit Autocast(DType dtype);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  bool before_;
};

/// Whether a scope with bfloat16 is open on this thread.
bool autocasting();

/// "none": float32; "bf16": bfloat16. Throws ErrorKind::value otherwise.
DType parse_amp(std::string_view name);

// For the definition of operations: whether a scope is open and asks for a cast.
bool rounds(const Var& x);               ///< to bfloat16, because x is float32
bool widens(const Var& x);               ///< to float32, because x is bfloat16
bool mixed(const Var& a, const Var& b);  ///< of both to float32, because one is float32 and the other bfloat16

}  // namespace gradus
