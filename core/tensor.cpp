#include "core/tensor.h"

#include <algorithm>
#include <cstring>
#include <iomanip>
#include <ostream>

#include "core/error.h"
#include "core/kernels.h"
#include "core/ops_check.h"
#include "core/step_graph.h"

namespace gradus {
namespace {

Tensor allocate(size_t bytes, const Shape& shape, const Strides& strides, DType dtype) {
  return Tensor(Storage::allocate(bytes), 0, shape, strides, dtype);
}

void upload(const char* op, void* to_device, const void* from_host, size_t bytes) {
  check_not_capturing(op);
  if (bytes > 0) device::upload(to_device, from_host, bytes);
}

void download(const char* op, void* to_host, const void* from_device, size_t bytes) {
  check_not_capturing(op);
  if (bytes > 0) device::download(to_host, from_device, bytes);
}

/// The same elements in row-major order.
Tensor row_major(const Tensor& x) {
  if (x.is_contiguous()) return x;
  Tensor copy = Tensor::empty(x.shape(), x.dtype());
  kernels::copy(x, copy);
  return copy;
}

}  // namespace

Tensor Tensor::empty(const Shape& shape, DType dtype, Layout layout) {
  const size_t bytes = check::bytes("tensor", shape, dtype);
  return allocate(bytes, shape,
                  layout == Layout::channels_last ? channels_last_strides(shape) : contiguous_strides(shape), dtype);
}

Tensor Tensor::empty_like(const Tensor& like) { return empty_like(like, like.dtype()); }

Tensor Tensor::empty_like(const Tensor& like, DType dtype) {
  return allocate(check::bytes("tensor", like.shape(), dtype), like.shape(),
                  like.is_dense() ? like.strides() : contiguous_strides(like.shape()), dtype);
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype) {
  check::scalar("full", dtype, value);
  Tensor out = empty(shape, dtype);
  kernels::fill(value, out);
  return out;
}

Tensor Tensor::eye(int64_t n, DType dtype) {
  Tensor out = zeros({n, n}, dtype);
  Tensor diagonal(out.storage(), 0, {n}, {n + 1}, dtype);
  kernels::fill(1, diagonal);
  return out;
}

Tensor Tensor::arange(int64_t n, DType dtype) {
  check::bytes("tensor", {n}, DType::int64);
  if (n > 0) check::scalar("arange", dtype, static_cast<double>(n - 1));
  const int64_t most = dtype == DType::float32 ? int64_t{1} << 24 : dtype == DType::bfloat16 ? 256 : INT64_MAX;
  if (n - 1 > most) fail(ErrorKind::value, "arange", dtype, " holds integers up to ", most, " alone, not ", n - 1);
  std::vector<int64_t> values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int64_t>(i);
  const Tensor counted = from(values, {n});
  if (dtype == DType::int64) return counted;
  Tensor out = empty({n}, dtype);
  kernels::copy(counted, out);
  return out;
}

template <class T>
Tensor Tensor::from(std::span<const T> values, const Shape& shape) {
  check::bytes("tensor", shape, dtype_of<T>);
  if (static_cast<int64_t>(values.size()) != gradus::numel(shape))
    fail(ErrorKind::shape, "from", "shape ", shape, " needs ", gradus::numel(shape), " values, got ", values.size());
  Tensor out = empty(shape, dtype_of<T>);
  upload("from", out.raw(), values.data(), values.size_bytes());
  return out;
}

bool Tensor::is_contiguous() const {
  int64_t expected = 1;
  for (int i = rank() - 1; i >= 0; --i) {
    if (shape_[i] == 0) return true;
    if (shape_[i] != 1 && strides_[i] != expected) return false;
    expected *= shape_[i];
  }
  return true;
}

bool Tensor::is_channels_last() const {
  if (rank() != 4) return false;
  int64_t expected = 1;
  for (int i : {1, 3, 2, 0}) {
    if (shape_[i] == 0) return true;
    if (shape_[i] != 1 && strides_[i] != expected) return false;
    expected *= shape_[i];
  }
  return true;
}

bool Tensor::is_dense() const {
  if (is_contiguous()) return true;
  // Dimensions sorted by stride must each step over exactly what lies inside.
  int order[max_rank];
  int used = 0;
  for (int i = 0; i < rank(); ++i) {
    if (shape_[i] == 0) return true;
    if (shape_[i] == 1) continue;
    int at = used++;
    while (at > 0 && strides_[order[at - 1]] > strides_[i]) {
      order[at] = order[at - 1];
      --at;
    }
    order[at] = i;
  }
  int64_t expected = 1;
  for (int i = 0; i < used; ++i) {
    if (strides_[order[i]] != expected) return false;
    expected *= shape_[order[i]];
  }
  return true;
}

template <class T>
T* Tensor::data() const {
  if (dtype_of<T> != dtype_)
    fail(ErrorKind::dtype, "data", "the elements are ", dtype_, ", but ", dtype_of<T>, " was asked for");
  return static_cast<T*>(raw());
}

template <class T>
std::vector<T> Tensor::to_vector() const {
  check::defined("to_vector", *this);
  if (dtype_of<T> != dtype_)
    fail(ErrorKind::dtype, "to_vector", "the elements are ", dtype_, ", but ", dtype_of<T>,
         " was asked for: cast(x, dtype) converts");
  const Tensor source = row_major(*this);
  std::vector<T> values(static_cast<size_t>(numel()));
  if constexpr (std::is_same_v<T, bool>) {
    std::vector<uint8_t> bytes(values.size());
    download("to_vector", bytes.data(), source.raw(), bytes.size());
    std::copy(bytes.begin(), bytes.end(), values.begin());
  } else {
    download("to_vector", values.data(), source.raw(), values.size() * sizeof(T));
  }
  return values;
}

std::vector<char> Tensor::to_bytes() const {
  check::defined("to_bytes", *this);
  const Tensor source = row_major(*this);
  std::vector<char> bytes(static_cast<size_t>(numel()) * size_of(dtype_));
  download("to_bytes", bytes.data(), source.raw(), bytes.size());
  return bytes;
}

Tensor Tensor::from_bytes(const void* bytes, const Shape& shape, DType dtype) {
  Tensor out = empty(shape, dtype);
  const auto* first = static_cast<const unsigned char*>(bytes);
  if (dtype == DType::boolean && std::any_of(first, first + out.numel(), [](unsigned char b) { return b > 1; }))
    fail(ErrorKind::value, "from_bytes", "a bool has a byte that is neither 0 nor 1");
  upload("from_bytes", out.raw(), bytes, static_cast<size_t>(out.numel()) * size_of(dtype));
  return out;
}

double Tensor::item() const {
  check::defined("item", *this);
  if (numel() != 1) fail(ErrorKind::shape, "item", "needs a tensor of one element, got ", shape_);
  const auto read = [&]<class T>(T) {
    T value;
    download("item", &value, raw(), sizeof value);
    return static_cast<double>(value);
  };
  switch (dtype_) {
    case DType::float32: return read(float{});
    case DType::float64: return read(double{});
    case DType::int32: return read(int32_t{});
    case DType::int64: return read(int64_t{});
    case DType::uint8: return read(uint8_t{});
    case DType::boolean: return read(bool{});
    case DType::bfloat16: {
      bfloat16 value;
      download("item", &value, raw(), sizeof value);
      return static_cast<float>(value);
    }
  }
  return 0;
}

std::ostream& operator<<(std::ostream& out, const Tensor& tensor) {
  if (!tensor.defined()) return out << "undefined tensor";
  out << tensor.dtype() << ' ' << tensor.shape();
  constexpr int64_t shown = 64;
  if (tensor.numel() > shown) return out << " (" << tensor.numel() << " elements)";
  const size_t columns = tensor.rank() ? static_cast<size_t>(std::max<int64_t>(tensor.shape().back(), 1)) : 1;
  const auto write = [&]<class T>(T) {
    Tensor values = Tensor::empty(tensor.shape(), dtype_of<T>);
    kernels::copy(tensor, values);
    const auto numbers = values.to_vector<T>();
    for (size_t i = 0; i < numbers.size(); ++i) out << (i % columns == 0 ? "\n  " : " ") << numbers[i];
  };
  if (is_floating(tensor.dtype()))
    write(double{});
  else
    write(int64_t{});
  return out;
}

#define GRADUS_FOR_ELEMENT(T)                                        \
  template Tensor Tensor::from<T>(std::span<const T>, const Shape&); \
  template T* Tensor::data<T>() const;                               \
  template std::vector<T> Tensor::to_vector<T>() const;
GRADUS_FOR_ELEMENT(float)
GRADUS_FOR_ELEMENT(double)
GRADUS_FOR_ELEMENT(int32_t)
GRADUS_FOR_ELEMENT(int64_t)
GRADUS_FOR_ELEMENT(uint8_t)
GRADUS_FOR_ELEMENT(bool)
GRADUS_FOR_ELEMENT(bfloat16)
#undef GRADUS_FOR_ELEMENT

}  // namespace gradus
