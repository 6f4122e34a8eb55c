#include "core/cuda/conv_check.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <unordered_map>

#include "core/accelerator.h"
#include "core/error.h"
#include "core/ops.h"

namespace gradus::cuda {

ConvKey make_key(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec) {
  return {.pass = pass,
          .bias = operands.bias.defined(),
          .relu = operands.relu,
          .dtype = operands.x.dtype(),
          .weight = operands.w.dtype(),
          .variant = accelerator().tf32 + 2 * accelerator().fast,
          .x = operands.x.shape(),
          .w = operands.w.shape(),
          .y = operands.y.shape(),
          .spec = spec};
}

std::string describe(const ConvKey& key) {
  const auto both = [](const Extent2d& extent) { return Dims{extent.height, extent.width}; };
  return text(name(key.pass), " ", key.dtype, " x ", key.x, " w ", key.w, " stride ", both(key.spec.stride),
              " padding ", Dims(key.spec.padding), " dilation ", both(key.spec.dilation), " groups ", key.spec.groups,
              key.bias ? " bias" : "", key.relu ? " relu" : "", key.variant & 1 ? " tf32" : "",
              key.variant & 2 ? " fast" : "");
}

double tolerated_error(DType dtype, bool tf32) { return dtype == DType::bfloat16 ? 1e-2 : tf32 ? 2e-3 : 1e-4; }

ConvOperands random_operands(const ConvKey& key) {
  uint64_t stream = 0;
  const auto random = [&](const Shape& shape, DType dtype) {
    Tensor x = shape.rank() == 4 ? Tensor::empty(shape, dtype, Layout::channels_last) : Tensor::empty(shape, dtype);
    kernels::random_uniform({.seed = 0xc0, .stream = stream++}, -1, 1, x);
    return x;
  };
  return {random(key.x, key.dtype), random(key.w, key.weight), random(key.y, key.dtype),
          key.bias ? random({key.w[0]}, key.weight) : Tensor(), key.relu};
}

bool passes_check(const ConvKey& key, const ConvOperands& operands, const std::string& algorithm,
                  const std::function<std::string()>& run) {
  const auto refuse = [&](const std::string& reason) {
    warn(text("[", name(key.pass), "] ", algorithm, " is not used for ", describe(key), ": ", reason));
    return false;
  };
  Tensor output = output_of(key.pass, operands);
  kernels::fill(std::nan(""), output);  // what is left unwritten shows
  if (const std::string failure = run(); !failure.empty()) return refuse("it fails to run, " + failure);
  const double error = relative_error(key.pass, operands, key.spec), most = tolerated_error(key.dtype, key.variant & 1);
  if (error <= most) return true;
  return refuse(text("its result is off by ", error, " of its size, at most ", most, " is rounding"));
}

namespace {

/// How many elements of x [N, ...] are NaN. Some images at a time: the mask takes memory.
int64_t count_nan(const Tensor& x) {
  constexpr int64_t most = int64_t{1} << 24;  // ones that float32 counts
  const int64_t images = x.shape()[0], at_once = std::max<int64_t>(1, most * images / std::max<int64_t>(x.numel(), 1));
  int64_t numbers = 0;
  for (int64_t first = 0; first < images; first += at_once) {
    const Tensor some = slice(x, 0, first, std::min(images, first + at_once));
    numbers += static_cast<int64_t>(sum(cast(equal(some, some), DType::float32)).item());
  }
  return x.numel() - numbers;
}

}  // namespace

bool keeps_nan(const ConvKey& key, const ConvOperands& operands, const std::string& algorithm,
               const std::function<void(const ConvOperands&)>& run) {
  if (!key.relu) return true;
  // A window may lie in the padding alone. One image and one filter of one channel tell where.
  Conv2dSpec one_group = key.spec;
  one_group.groups = 1;
  const ConvOperands one = {Tensor::full({1, 1, key.x[2], key.x[3]}, std::nan("")),
                            Tensor::ones({1, 1, key.w[2], key.w[3]}), Tensor::empty({1, 1, key.y[2], key.y[3]})};
  plain_conv(ConvPass::forward, one, one_group);
  const int64_t expected = count_nan(one.y) * key.y[0] * key.y[1];

  ConvOperands with_nan = operands;
  with_nan.x = Tensor::empty_like(operands.x);
  kernels::fill(std::nan(""), with_nan.x);
  run(with_nan);
  if (count_nan(with_nan.y) >= expected) return true;  // Winograd's tiles spread it
  warn(text("[", name(key.pass), "] ", algorithm, " is not used for ", describe(key), ": its ReLU makes 0 of NaN"));
  return false;
}

bool passes_once(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec, const std::string& algorithm,
                 const std::function<void(const ConvOperands&)>& run) {
  static std::mutex mutex;
  static std::map<std::string, std::unordered_map<ConvKey, bool, ConvKeyHash>> of_algorithm;
  constexpr size_t most = 4096;  // as in conv_plan.cpp
  const ConvKey key = make_key(pass, operands, spec);
  const std::lock_guard lock(mutex);
  auto& known = of_algorithm[algorithm];
  auto found = known.find(key);
  if (found == known.end()) {
    if (known.size() >= most) known.clear();
    const ConvOperands trial = random_operands(key);
    const bool passes = passes_check(key, trial, algorithm, [&]() -> std::string {
      run(trial);
      return "";
    });
    found = known.emplace(key, passes).first;
  }
  return found->second;
}

}  // namespace gradus::cuda
