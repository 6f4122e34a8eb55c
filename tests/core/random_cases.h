// What the campaigns of random cases share: draws of shapes, memory orders and values from one seed, and comparisons
// with the reference in float64 that name the case. GRADUS_SEED is another seed, GRADUS_CASES a factor of the number of
// cases, and GRADUS_CASE the only case to run of each family.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"
#include "core/ref/loops.h"
#include "tests/core/cpu_compare.h"

namespace gradus::testing {

inline double from_environment(const char* name, double otherwise) {
  const char* text = std::getenv(name);
  return text ? std::strtod(text, nullptr) : otherwise;
}

/// Half the distance from 1 to the next number.
inline double roundoff(DType dtype) {
  return dtype == DType::float64 ? 0x1p-53 : dtype == DType::bfloat16 ? 0x1p-8 : 0x1p-24;
}
/// That of the arithmetic: bfloat16 is computed in float32.
inline double arithmetic(DType dtype) { return dtype == DType::float64 ? 0x1p-53 : 0x1p-24; }
/// The smallest positive number.
inline double smallest(DType dtype) {
  return dtype == DType::float64 ? 0x1p-1074 : dtype == DType::bfloat16 ? 0x1p-133 : 0x1p-149;
}
inline double largest_of(DType dtype) {
  if (dtype == DType::float64) return std::numeric_limits<double>::max();
  return dtype == DType::bfloat16 ? 0x1.fep127 : 0x1.fffffep127;
}

/// A row-major copy in float64.
inline Tensor wide(const Tensor& x) {
  if (!x.defined()) return x;
  Tensor out = Tensor::empty(x.shape(), DType::float64);
  ref::copy(x, out);
  return out;
}
inline Tensor blank(const Shape& shape, DType dtype = DType::float64) { return Tensor::empty(shape, dtype); }
/// |x| of a float64 tensor.
inline Tensor magnitude(const Tensor& x) {
  if (!x.defined()) return x;
  Tensor out = blank(x.shape());
  ref::unary(UnaryOp::abs, x, out);
  return out;
}
/// A row-major copy.
inline Tensor rows(const Tensor& x) {
  Tensor out = blank(x.shape(), x.dtype());
  ref::copy(x, out);
  return out;
}

/// A tensor in memory that may have gaps.
struct Place {
  Tensor buffer, view;
};

/// Every random choice of one case, the line that tells of them, and its first failure.
class Draw {
 public:
  Draw(const std::string& family, uint64_t seed, int64_t number)
      : generator_(seed, std::hash<std::string>()(family) + static_cast<uint64_t>(number)) {}

  int64_t whole(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(generator_.below(static_cast<uint64_t>(high - low + 1)));
  }
  bool one_in(int64_t n) { return whole(1, n) == 1; }
  template <class T>
  T of(std::initializer_list<T> list) {
    return list.begin()[whole(0, static_cast<int64_t>(list.size()) - 1)];
  }
  double real(double low, double high) { return low + (high - low) * generator_.uniform(); }
  /// A number that float32 holds exactly.
  double factor() { return of({1.0, -1.0, 0.5, 2.0, -0.75, double{static_cast<float>(real(-2, 2))}}); }
  RandomKey key() { return generator_.fork(); }

  /// Mostly small, often beside a vector's width.
  int64_t extent(int64_t most = 70) {
    const int64_t kind = whole(0, 9);
    int64_t n = kind < 2 ? 1 : kind < 6 ? of<int64_t>({4, 8, 16, 32, 64}) * whole(1, 2) + whole(-1, 1) : whole(2, most);
    return std::clamp<int64_t>(n, 1, most);
  }
  /// Of at most so many elements, and now and then of none.
  Shape shape(int rank, int64_t elements, bool may_be_empty = true) {
    Shape out;
    const int64_t most = one_in(8) ? 2000 : 70;
    for (int d = 0; d < rank; ++d) out.push_back(std::min(extent(most), 1 + 20 * elements / numel(out)));
    if (rank > 0 && one_in(10)) out[static_cast<int>(whole(0, rank - 1))] *= whole(1, 1 + elements / numel(out));
    while (numel(out) > elements) *std::max_element(out.begin(), out.end()) /= 2;
    if (may_be_empty && rank > 0 && one_in(40)) out[static_cast<int>(whole(0, rank - 1))] = 0;
    return out;
  }
  /// So many elements that one thread computes them, or now and then some.
  int64_t elements() { return one_in(12) ? 300000 : 4000; }
  DType floating() { return of({DType::float32, DType::float32, DType::bfloat16, DType::float64}); }

  /// Room in a random memory order: dimensions in any order, with or without gaps. Floating elements are NaN.
  Place place(const Shape& shape, DType dtype, const char* name) {
    const int rank = shape.rank();
    const double outside = is_floating(dtype) ? NAN : dtype == DType::boolean ? 1 : 77;
    const bool gaps = one_in(3);
    int order[max_rank] = {0, 1, 2, 3, 4, 5, 6, 7};
    const int64_t kind = whole(0, 2);
    if (kind == 1 && rank == 4) order[1] = 2, order[2] = 3, order[3] = 1;
    if (kind == 2)
      for (int d = rank - 1; d > 0; --d) std::swap(order[d], order[whole(0, d)]);
    Strides strides = Dims::filled(rank, 0);
    int64_t stride = gaps ? whole(1, 3) : 1;
    for (int i = rank - 1; i >= 0; --i) {
      strides[order[i]] = stride;
      stride *= std::max<int64_t>(1, shape[order[i]]) + (gaps && one_in(2) ? whole(1, 3) : 0);
    }
    for (int d = 0; d < rank; ++d)  // where there is no second element, its place may be anything
      if (shape[d] == 1 && one_in(3)) strides[d] = of<int64_t>({0, 1, 3, 5, 1000});
    const int64_t offset = gaps ? whole(0, 5) : 0;
    const Tensor buffer = Tensor::full({stride + offset}, outside, dtype);
    const Place made{buffer, Tensor(buffer.storage(), offset, shape, strides, dtype)};
    tell(name, made.view);
    return made;
  }

  /// Values in [low, high), `special` ones among them, in a random memory order; one element for many now and then, or
  /// places that overlap.
  Place operand(const Shape& shape, DType dtype, const char* name, double low = -1, double high = 1,
                std::vector<double> special = {}, bool may_repeat = true) {
    Shape stored = shape;
    const bool repeats = may_repeat && one_in(6);
    for (int d = 0; repeats && d < shape.rank(); ++d)
      if (shape[d] > 1 && one_in(2)) stored[d] = 1;
    Place made = place(stored, dtype, name);
    std::vector<double> values(static_cast<size_t>(numel(stored)));
    for (double& v : values) {
      v = dtype == DType::boolean ? static_cast<double>(whole(0, 1)) : real(low, high);
      if (!special.empty() && one_in(9)) v = special[static_cast<size_t>(whole(0, std::ssize(special) - 1))];
    }
    ref::copy(Tensor::from(values, stored), made.view);
    if (may_repeat && numel(shape) > 0 && one_in(25)) return overlapping(made.view, shape);
    if (stored == shape) return made;
    Strides strides = made.view.strides();
    for (int d = 0; d < shape.rank(); ++d)
      if (stored[d] != shape[d]) strides[d] = 0;
    made.view = Tensor(made.view.storage(), made.view.offset(), shape, strides, dtype);
    tell("repeated", made.view);
    return made;
  }
  /// The elements of x again, with small steps along each dimension.
  Place overlapping(const Tensor& x, const Shape& shape) {
    Strides strides = Dims::filled(shape.rank(), 0);
    int64_t last = 0;
    for (int d = 0; d < shape.rank(); ++d) last += (strides[d] = whole(0, 3)) * (shape[d] - 1);
    std::vector<double> values = testing::elements(x);
    for (size_t i = 0; std::ssize(values) <= last; ++i) values.push_back(values[i]);
    Place made{blank({std::ssize(values)}, x.dtype()), {}};
    ref::copy(Tensor::from(values, made.buffer.shape()), made.buffer);
    made.view = Tensor(made.buffer.storage(), 0, shape, strides, x.dtype());
    tell("overlapping", made.view);
    return made;
  }
  /// The same elements in another place.
  Place copy(const Tensor& x, const char* name) {
    Place made = place(x.shape(), x.dtype(), name);
    ref::copy(x, made.view);
    return made;
  }
  Place integers(const Shape& shape, int64_t below, const char* name) {
    Place made = place(shape, DType::int64, name);
    std::vector<int64_t> values(static_cast<size_t>(numel(shape)));
    for (int64_t& v : values) v = whole(0, below - 1);
    ref::copy(Tensor::from(values, shape), made.view);
    return made;
  }

  template <class... T>
  void say(const T&... words) {
    ((line_ << words << ' '), ...);
  }
  void tell(const char* name, const Tensor& x) {
    say(name, x.shape(), x.dtype(), "strides", x.strides());
    if (x.offset() != 0) say("at", x.offset());
  }

  /// |got - expected| <= bound(i), the rounding of the result and of numbers too small for it; what overflows may be
  /// infinite. `bound` takes row-major positions. The gaps must be as they were.
  template <class Bound>
  void check(const char* name, const Place& got, const std::vector<double>& expected, Bound bound) {
    const DType dtype = got.view.dtype();
    const double unit = roundoff(dtype), tiny = 4 * smallest(dtype), most = largest_of(dtype);
    const std::vector<double> values = testing::elements(got.view);
    if (values.size() != expected.size()) return fail(name, ": ", values.size(), " elements");
    for (size_t i = 0; i < values.size(); ++i) {
      const double g = values[i], e = expected[i];
      if (g == e || (std::isnan(g) && std::isnan(e))) continue;
      const double error = bound(i), allowed = error + unit * (std::abs(e) + error) + tiny;
      if (std::isfinite(e) && std::abs(g - e) <= allowed) continue;
      if (std::isinf(g) && std::isfinite(e) && (g > 0) == (e > 0) && std::abs(e) + allowed >= most) continue;
      return fail(name, "[", i, "] is ", g, ", not ", e, "; off by ", std::abs(g - e), " of ", allowed);
    }
    check_gaps(name, got);
  }
  void check(const char* name, const Place& got, const Tensor& expected) {
    check(name, got, testing::elements(expected), [](size_t) { return 0.0; });
  }
  /// The same elements, whatever their dtype.
  void check_exact(const char* name, const Place& got, const Tensor& expected) {
    if (is_floating(got.view.dtype())) {
      const std::vector<double> g = testing::elements(got.view), e = testing::elements(expected);
      for (size_t i = 0; i < g.size(); ++i)
        if (g[i] != e[i] && !(std::isnan(g[i]) && std::isnan(e[i])))
          return fail(name, "[", i, "] is ", g[i], ", not ", e[i]);
    } else if (rows(got.view).to_bytes() != rows(expected).to_bytes()) {
      return fail(name, " is ", got.view, ", not ", expected);
    }
    check_gaps(name, got);
  }

  template <class... T>
  void fail(const T&... words) {
    if (!failure_.empty()) return;
    std::ostringstream text;
    text.precision(9);
    (text << ... << words);
    failure_ = text.str();
  }
  std::string line() const { return line_.str(); }
  const std::string& failure() const { return failure_; }

 private:
  void check_gaps(const char* name, const Place& got) {
    std::vector<char> bytes = got.buffer.to_bytes();
    const size_t size = size_of(got.view.dtype());
    const auto first = static_cast<size_t>(got.view.offset());
    std::vector<bool> written(bytes.size() / size);
    ref::for_each_element<1>(got.view.shape(), {got.view.strides()},
                             [&](const auto& at) { written[first + static_cast<size_t>(at[0])] = true; });
    const std::vector<char> before = Tensor::full({1},
                                                  is_floating(got.view.dtype())        ? NAN
                                                  : got.view.dtype() == DType::boolean ? 1
                                                                                       : 77,
                                                  got.view.dtype())
                                         .to_bytes();
    for (size_t i = 0; i < written.size(); ++i)
      if (!written[i] && std::memcmp(&bytes[i * size], before.data(), size) != 0)
        return fail(name, " has written to a gap, ", i);
  }

  Generator generator_;
  std::ostringstream line_;
  std::string failure_;
};

/// Runs `count` random cases of a family, each on one thread, on some, or on as many as there are by default.
inline void campaign(const char* family, int64_t count, void (*one)(Draw&)) {
  const auto seed = static_cast<uint64_t>(from_environment("GRADUS_SEED", 1));
  const auto only = static_cast<int64_t>(from_environment("GRADUS_CASE", -1));
  const auto cases = static_cast<int64_t>(static_cast<double>(count) * from_environment("GRADUS_CASES", 1));
  const int threads = num_threads();
  int failures = 0;
  for (int64_t i = only < 0 ? 0 : only; i < (only < 0 ? cases : only + 1) && failures < 5; ++i) {
    Draw draw(family, seed, i);
    if (i % 4 == 3) set_num_threads(draw.of({1, 2, 3}));
    draw.say(num_threads(), "threads:");
    try {
      one(draw);
    } catch (const Error& error) {
      draw.fail(error.what());
    }
    set_num_threads(threads);
    if (draw.failure().empty()) continue;
    ++failures;
    const std::string text = std::string(family) + ", GRADUS_SEED=" + std::to_string(seed) +
                             " GRADUS_CASE=" + std::to_string(i) + ": " + draw.line() + "| " + draw.failure();
    FAIL_CHECK(text);
  }
  CHECK(cases > 0);
}

}  // namespace gradus::testing
