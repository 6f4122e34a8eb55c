// Initial values of parameters. Layers initialize themselves as PyTorch's do, from a default generator that
// manual_seed() restarts; the functions here fill a tensor anew, in place, with float32's values also where it is
// float64. Fans are counted as PyTorch and TensorFlow do: a weight [out, in, kh, kw] has fan_in = in * kh * kw and
// fan_out = out * kh * kw, and that of a transposed convolution, [in, out, kh, kw], the two exchanged.
#pragma once

#include <cstdint>

#include "core/random.h"
#include "core/tensor.h"

namespace gradus {

class Module;

/// Restarts this thread's default generator: models built after equal seeds are equal. Their values are draws of the
/// keys {seed, stream 0, ...}, as Generator(seed) gives them, and those of dropout of {seed, stream 1, 2, ...}: give
/// data of your own another seed, or they are the weights' own numbers.
void manual_seed(uint64_t seed);

namespace init {

/// Of this thread; seed 0 at first.
Generator& default_generator();

struct Fans {
  int64_t in = 0, out = 0;
};
/// Throws ErrorKind::shape for fewer than two dimensions.
Fans fans(const Shape& weight);

void zeros(const Tensor& x);
void ones(const Tensor& x);
void uniform(const Tensor& x, double low, double high, Generator& generator = default_generator());
void normal(const Tensor& x, double mean, double std, Generator& generator = default_generator());
/// Normal, with draws further than `cut` standard deviations from the mean drawn again (TensorFlow's truncated_normal).
/// Throws ErrorKind::value for a cut below 0.01, which one draw in 125 would meet.
void truncated_normal(const Tensor& x, double mean, double std, double cut = 2,
                      Generator& generator = default_generator());

/// Glorot and Bengio 2010: variance gain^2 * 2 / (fan_in + fan_out).
void xavier_uniform(const Tensor& weight, double gain = 1, Generator& generator = default_generator());
void xavier_normal(const Tensor& weight, double gain = 1, Generator& generator = default_generator());

enum class Fan { in, out };
struct KaimingOptions {
  double slope = 0;  ///< of the leaky ReLU that follows; 0 for ReLU
  Fan fan = Fan::in;
};
/// He et al. 2015: variance 2 / (1 + slope^2) / fan.
void kaiming_uniform(const Tensor& weight, const KaimingOptions& options = {},
                     Generator& generator = default_generator());
void kaiming_normal(const Tensor& weight, const KaimingOptions& options = {},
                    Generator& generator = default_generator());

/// Saxe et al. 2014: as a matrix [first, rest], orthonormal rows or columns (whichever are fewer), times gain, which is
/// finite.
void orthogonal(const Tensor& weight, double gain = 1, Generator& generator = default_generator());

enum class Scheme { xavier_uniform, xavier_normal, kaiming_uniform, kaiming_normal, truncated_normal, orthogonal };
/// For every weight of a linear or convolution layer the scheme (truncated_normal: variance 1 / fan_in before the cut),
/// and zero for their biases. Norms and other parameters keep their values. TensorFlow's default is xavier_uniform.
void initialize(Module& model, Scheme scheme, Generator& generator = default_generator());

}  // namespace init

namespace detail {
/// Seed and stream for the draws of a module under construction.
RandomKey next_module_key();
}  // namespace detail

}  // namespace gradus
