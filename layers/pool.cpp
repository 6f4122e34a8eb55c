// Pooling layers.
#include "layers/pool.h"

#include "core/check_defined.h"
#include "core/error.h"

namespace gradus {
namespace {

template <class Options>
void check_windows(const char* name, const Options& options) {
  const Extent2d kernel = options.kernel, stride = options.stride.value_or(kernel);
  if (kernel.height < 1 || kernel.width < 1 || stride.height < 1 || stride.width < 1)
    fail(ErrorKind::value, name, "kernel and stride must be positive, got ", kernel, " and ", stride);
}

template <class Options>
Pool2dSpec spec_for(const char* name, const Options& options, const Tensor& x) {
  check::defined(name, x);
  if (x.rank() != 4) fail(ErrorKind::shape, name, "the layer takes [N,C,H,W], got ", x.shape());
  const Extent2d kernel = options.kernel, stride = options.stride.value_or(kernel);
  return {.kernel = kernel,
          .stride = stride,
          .padding = options.padding.resolve({x.size(2), x.size(3)}, kernel, stride, 1)};
}

template <class Options>
std::string described(const char* name, const Options& options) {
  const Extent2d stride = options.stride.value_or(options.kernel);
  std::string s = text(name, "(kernel ", options.kernel, ", stride ", stride);
  if (options.padding != Padding(0)) s += text(", padding ", options.padding);
  return s + ")";
}

}  // namespace

MaxPool2d::MaxPool2d(const PoolOptions& options) : options_(options) { check_windows("MaxPool2d", options); }

Var MaxPool2d::forward(const Var& x) { return max_pool2d(x, spec_for("max_pool2d", options_, x.value())); }

std::string MaxPool2d::describe() const { return described("MaxPool2d", options_); }

AvgPool2d::AvgPool2d(const AvgPoolOptions& options) : options_(options) { check_windows("AvgPool2d", options); }

Var AvgPool2d::forward(const Var& x) {
  Pool2dSpec spec = spec_for("avg_pool2d", options_, x.value());
  spec.count_padding = options_.count_padding;
  return avg_pool2d(x, spec);
}

std::string AvgPool2d::describe() const { return described("AvgPool2d", options_); }

UpsampleNearest2d::UpsampleNearest2d(int64_t factor) : factor_(factor) {
  if (factor < 1) fail(ErrorKind::value, "UpsampleNearest2d", "the factor must be positive, got ", factor);
}

std::string UpsampleNearest2d::describe() const { return text("UpsampleNearest2d(", factor_, ")"); }

}  // namespace gradus
