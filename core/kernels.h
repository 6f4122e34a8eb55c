// THE SEAM between operations and devices. Exactly one of core/cpu and core/cuda defines gradus::kernels at link time,
// so a missing kernel is a link error; core/ref defines the same functions in gradus::ref, plainly, for float32 and
// float64, as the oracle and as the host's float64 path.
//
// bfloat16 is for activations and their gradients: kernels compute in float32 and round what they return. Parameters
// and statistics beside them, and the gradients of parameters, are float32; a convolution rounds its weight as it reads
// it.
//
// Contract of every kernel: arguments are already checked, outputs already allocated with the right shape and dtype
// (see core/ops_*.cpp), inputs and outputs may have any strides (inputs also stride 0, from broadcasting), and outputs
// overlap no input unless they are the very same view. A kernel checks nothing, allocates no tensor that outlives it
// and prints no message. Equal arguments and thread counts give equal bits.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/crop.h"
#include "core/random.h"
#include "core/tensor.h"

namespace gradus {

// Elementwise operations, listed in core/elementwise.inc with what each accepts.
#define GRADUS_UNARY(name, accepts) name,
enum class UnaryOp : uint8_t {
#include "core/elementwise.inc"
};
#undef GRADUS_UNARY

#define GRADUS_BINARY(name, text, accepts) name,
#define GRADUS_COMPARISON GRADUS_BINARY
enum class BinaryOp : uint8_t {
#include "core/elementwise.inc"
};
#undef GRADUS_COMPARISON
#undef GRADUS_BINARY

enum class ReduceOp : uint8_t { sum, max, min };

/// Geometry of a 2-D convolution; weight [O, I/groups, kh, kw].
struct Conv2dSpec {
  int64_t stride[2] = {1, 1};
  int64_t padding[4] = {0, 0, 0, 0};  ///< top, left, bottom, right
  int64_t dilation[2] = {1, 1};
  int64_t groups = 1;
  friend bool operator==(const Conv2dSpec&, const Conv2dSpec&) = default;
};

/// Geometry of a 2-D pooling window. Padding never wins a maximum; averages divide by kh * kw, or by the number of
/// elements inside the input where count_padding is false.
struct Pool2dSpec {
  int64_t kernel[2] = {2, 2};
  int64_t stride[2] = {2, 2};
  int64_t padding[4] = {0, 0, 0, 0};  ///< top, left, bottom, right
  bool count_padding = true;
  friend bool operator==(const Pool2dSpec&, const Pool2dSpec&) = default;
};

/// Coefficients of one step of Adam: m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2.
struct AdamSpec {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double correction1 = 1;  ///< 1 - beta1^t
  double correction2 = 1;  ///< 1 - beta2^t
};

/// A rule's share of a ParameterUpdate: from u to a direction d, then theta <- (1 - lr decay) theta - lr d.
struct RuleUpdate {
  enum class Kind : uint8_t {
    plain,     ///< d = u
    momentum,  ///< v = momentum v + u, d = v
    nesterov,  ///< the same v, d = u + momentum v
    adam,      ///< see AdamSpec; d as in kernels::adam
    curvature  ///< the same with h^2, or |h|, instead of the squared gradient, and with or without the root
  };
  Kind kind = Kind::plain;
  double lr = 0, decay = 0;
  double momentum = 0;
  AdamSpec adam = {};
  Tensor* first = nullptr;               ///< v, or Adam's first moment
  Tensor* second = nullptr;              ///< Adam's second moment
  const Tensor* curvature = nullptr;     ///< h
  bool magnitudes = false, root = true;  ///< |h|; sqrt(v / correction2) + eps rather than v / correction2 + eps
};

/// One parameter's whole step, in this order: x = clamp(factor g, -limit, limit) + decay theta, kept where asked for;
/// u = P x + late_decay theta; the rule. Tensors that are null take no part. All but p and correlation are dense and in
/// the memory order of theta; "rows" are n consecutive elements there.
struct ParameterUpdate {
  Tensor* value = nullptr;  ///< theta
  const Tensor* gradient = nullptr;
  double factor = 1, limit = 0, decay = 0, late_decay = 0;  ///< limit 0: none
  Tensor* kept = nullptr;                                   ///< receives x
  const Tensor* previous = nullptr;                         ///< the x of the step before
  const Tensor* against = nullptr;  ///< what meets previous in place of x; then the rule is plain
  const Tensor* p = nullptr;        ///< P for each row: contiguous [n, n]
  Tensor* correlation = nullptr;    ///< receives C [n, n], the sum over rows of x previous^T; with p and previous
  Tensor* diagonal = nullptr;       ///< P = diag(m) instead, learned here, after its use, where previous is given:
  double hyper_factor = -1;         ///< m takes a step by `hyper` along hyper_factor x previous
  RuleUpdate hyper = {};
  RuleUpdate rule = {};
};

/// One learned matrix M [n, n] of a preconditioner and the P that follows from it: M takes a step of `rule` along
/// factor h, h the gradient with respect to M of what has the gradient C with respect to P; then P is made anew. All
/// are contiguous.
struct MatrixUpdate {
  enum class Form : uint8_t {
    product,       ///< P = M M^T, h = (C + C^T) M
    product_plus,  ///< P = I + M M^T, the same h
    symmetric,     ///< P = (M + M^T) / 2, h = (C + C^T) / 2
    plain          ///< P = M, h = C
  };
  Form form = Form::plain;
  double norm = 0;           ///< where positive, this P is Q, and P = k Q with k = norm / |Q|_F
  bool through = false;      ///< then C becomes what k is for M too, k (C - <Q, C> Q / |Q|^2); otherwise it stays C
  Tensor* matrix = nullptr;  ///< M
  const Tensor* correlation = nullptr;  ///< C [n, n]
  Tensor* p = nullptr;                  ///< receives P; null: nobody asks for it
  double factor = 1;
  RuleUpdate rule = {};
};

/// Work that was recorded instead of done, and can be done any number of times: a CUDA graph.
class Recording {
 public:
  virtual ~Recording() = default;
  virtual void replay() = 0;
};

/// Memory and identity of the device that this library was built for.
namespace device {
const char* name();            ///< "cpu" or "cuda"
std::string describe();        ///< one line for logs: model, instruction set or driver, threads
void* allocate(size_t bytes);  ///< aligned to 64 bytes; throws ErrorKind::device when there is no memory
void release(void* data, size_t bytes) noexcept;
/// Whether release() keeps blocks of this size for whoever asks next: nobody else needs to. bytes is what was asked
/// for.
bool keeps_released(size_t bytes);
/// Gives what release() kept back to the system.
void trim() noexcept;
/// Whether convolutions and products of this floating dtype have instructions of their own here.
bool has_fast(DType dtype);
void upload(void* to_device, const void* from_host, size_t bytes);
void download(void* to_host, const void* from_device, size_t bytes);
void synchronize();
/// Whether work can be recorded: not on the CPU, where none of the four below is called.
bool can_record();
/// What is given to the device from now on is recorded, not done. Random keys that advance are later by *steps, which
/// lies on the device and is read by each replay.
void begin_recording(const int64_t* steps);
/// Null where the device lost the recording.
std::unique_ptr<Recording> end_recording();
/// What is given to the device from now on, recorded or done, comes after all that runs beside (Storage::Beside).
void finish_beside();
}  // namespace device

namespace kernels {
#include "core/kernels.inc"
}
namespace ref {
#include "core/kernels.inc"
}

}  // namespace gradus
