// A campaign of random cases: the device's kernels, but those of images, against the reference in float64.
#include <array>
#include <cmath>

#include "core/ops.h"
#include "tests/core/random_cases.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
const std::vector<double> not_finite = {NAN, infinity, -infinity};
const std::vector<double> small = {NAN, infinity, -infinity, 0.0, -0.0, 1.0, -1.0, 0x1p-149, -0x1p-130, 0x1p-126};
const std::vector<double> extreme = {NAN,      infinity,  -infinity, 0.0,       -0.0,           1.0,
                                     0x1p-149, -0x1p-130, 0x1p-126,  -0x1p-126, 0x1.fffffep127, -3e38};
constexpr DType numbers[] = {DType::float32, DType::float32, DType::float64, DType::bfloat16,
                             DType::int32,   DType::int64,   DType::uint8};

/// Elements that bound the rounding of a kernel.
class Magnitudes {
 public:
  explicit Magnitudes(const Tensor& x) : values_(elements(x)) {}
  double operator()(size_t i) const { return std::abs(values_[i]); }

 private:
  std::vector<double> values_;
};

// ---- Elementwise ---------------------------------------------------------------------------------------------------

DType number(Draw& d) { return numbers[d.whole(0, std::ssize(numbers) - 1)]; }

std::vector<double> specials(Draw& d, const std::vector<double>& list) {
  return d.one_in(3) ? list : std::vector<double>();
}

/// What a rounded argument of the normal distribution adds to its relative error at x, times x^2: e^(-x^2 / 2) moves by
/// x^2 times as much. The CPU's float32 makes that good.
double tail_roundings(DType dtype) {
  return dtype == DType::float64 || std::string_view(device::name()) != "cpu" ? 3 : 0;
}

void unary_case(Draw& d) {
  const auto op = static_cast<UnaryOp>(d.whole(0, static_cast<int64_t>(UnaryOp::logical_not)));
  const bool any =
      op == UnaryOp::neg || op == UnaryOp::abs || op == UnaryOp::sign || op == UnaryOp::square || op == UnaryOp::relu;
  const DType dtype = op == UnaryOp::logical_not ? DType::boolean : any ? number(d) : d.floating();
  const Shape shape = d.shape(static_cast<int>(d.one_in(9) ? d.whole(6, 8) : d.whole(0, 5)), d.elements());
  const double range = d.of({1.0, 3.0, 20.0, 120.0});
  const bool inside = d.one_in(4);
  d.say("unary", static_cast<int>(op), inside ? "in place" : "");
  const Place x = d.operand(shape, dtype, "x", -range, range, specials(d, extreme), !inside);
  const Tensor before = rows(x.view);
  Place out = inside ? x : d.place(shape, dtype, "out");
  kernels::unary(op, x.view, out.view, 0.125);
  Tensor expected = blank(shape, is_floating(dtype) ? DType::float64 : dtype);
  ref::unary(op, is_floating(dtype) ? wide(before) : before, expected, 0.125);
  if (!is_floating(dtype)) return d.check_exact("out", out, expected);
  // The largest error that core/cpu/vector/math.h promises is 4 ulps, of up to two roundoffs each. silu, and gelu on a
  // GPU and in float64, are x times a factor that may be a number with few bits, in the reference too.
  const double tail = op == UnaryOp::gelu ? tail_roundings(dtype) : 0;
  const bool product = op == UnaryOp::silu || tail > 0;
  const double lost = product ? 4 * smallest(dtype == DType::float64 ? dtype : DType::float32) : 0;
  d.check("out", out, elements(expected), [&, e = Magnitudes(expected), m = Magnitudes(before)](size_t i) {
    const double limited = std::min(1e3, m(i));
    return (9 + tail * limited * limited) * arithmetic(dtype) * e(i) + lost * limited;
  });
}

/// What the rounding of a binary operation in a few steps depends on.
double scale_of(BinaryOp op, double a, double b, DType dtype) {
  const double x = std::abs(b), sigmoid = 1 / (1 + std::exp(-x));
  switch (op) {
    case BinaryOp::tanh_grad: return 3 * std::abs(a) * (1 + b * b);
    case BinaryOp::sigmoid_grad: return 4 * std::abs(a * b) * (1 + x);
    case BinaryOp::gelu_grad:
      return (16 + tail_roundings(dtype) * b * b) * std::abs(a) *
             (0.5 * std::erfc(-b / std::sqrt(2)) + x * std::exp(-0.5 * b * b));
    case BinaryOp::silu_grad: return 24 * std::abs(a) * ((b > 0 ? 1 : 1 - sigmoid) + x * sigmoid * (1 - sigmoid));
    case BinaryOp::softplus_grad: return 9 * std::abs(a) * (b > 0 ? 1 : 2 * (1 - sigmoid));
    default: return 0;
  }
}

void binary_case(Draw& d) {
  const auto op = static_cast<BinaryOp>(d.whole(0, static_cast<int64_t>(BinaryOp::logical_or)));
  const bool compares = op >= BinaryOp::eq, of_bools = op >= BinaryOp::logical_and;
  const bool floating = op == BinaryOp::div || op == BinaryOp::pow || (op >= BinaryOp::relu_grad && !compares);
  const DType dtype = of_bools ? DType::boolean : floating ? d.floating() : number(d);
  const Shape shape = d.shape(static_cast<int>(d.one_in(9) ? d.whole(6, 8) : d.whole(0, 5)), d.elements());
  const int64_t form = d.whole(0, 3);  // two tensors, in place, a scalar right or left
  const bool is_gradient = op >= BinaryOp::relu_grad && !compares;
  const double low = op == BinaryOp::pow ? 0 : dtype == DType::uint8 ? 0 : -4;
  d.say("binary", static_cast<int>(op), "form", form);
  const std::vector<double> list = specials(d, is_gradient ? small : extreme);
  const Place a = d.operand(shape, dtype, "a", low, 4, list, form != 1);
  const Place b = d.operand(shape, dtype, "b", dtype == DType::uint8 ? 0 : -4, 4, list);
  const double scalar = dtype == DType::boolean ? 1 : is_floating(dtype) ? d.factor() : 2;
  const Tensor left = rows(a.view), right = form < 2 ? rows(b.view) : Tensor::full(shape, scalar, dtype);
  Place out = form == 1 && !compares ? a : d.place(shape, compares ? DType::boolean : dtype, "out");
  const bool has_scalar = form >= 2 && op != BinaryOp::leaky_relu_grad;
  if (!has_scalar)
    kernels::binary(op, a.view, form == 2 ? a.view : b.view, out.view, 0.125);
  else if (form == 2)
    kernels::binary_scalar(op, a.view, scalar, out.view);
  else
    kernels::scalar_binary(op, scalar, a.view, out.view);
  const Tensor second =
      has_scalar ? (form == 2 ? Tensor::full(shape, scalar, DType::float64) : left) : rows(form == 2 ? a.view : b.view);
  const Tensor first = has_scalar && form == 3 ? Tensor::full(shape, scalar, DType::float64) : left;
  if (!is_floating(dtype)) {
    const auto whole = [&](const Tensor& x) {
      Tensor out = blank(shape, dtype);
      ref::copy(x, out);
      return out;
    };
    Tensor expected = blank(shape, out.view.dtype());
    ref::binary(op, whole(first), whole(second), expected);
    return d.check_exact("out", out, expected);
  }
  Tensor expected = blank(shape, compares ? DType::boolean : DType::float64);
  ref::binary(op, wide(first), wide(second), expected, 0.125);
  if (compares) return d.check_exact("out", out, expected);
  d.check("out", out, elements(expected),
          [&, e = Magnitudes(expected), f = elements(first), s = elements(second)](size_t i) {
            const double steps =
                is_gradient ? (1 + std::min(1e3, std::abs(f[i]))) * (1 + std::min(1e3, std::abs(s[i]))) : 0;
            const double lost = 4 * smallest(dtype == DType::float64 ? dtype : DType::float32) * steps;
            return arithmetic(dtype) * (2 * e(i) + scale_of(op, f[i], s[i], dtype)) + lost;  // of factors with few bits
          });
}

void where_case(Draw& d) {
  const DType dtype = number(d);
  const Shape shape = d.shape(static_cast<int>(d.one_in(9) ? d.whole(6, 8) : d.whole(0, 5)), d.elements());
  const Place condition = d.operand(shape, DType::boolean, "condition");
  const Place a = d.operand(shape, dtype, "a", 0, 99, extreme), b = d.operand(shape, dtype, "b", 0, 99, extreme);
  Place out = d.place(shape, dtype, "out");
  kernels::where(condition.view, a.view, b.view, out.view);
  Tensor expected = blank(shape, dtype);
  ref::where(rows(condition.view), rows(a.view), rows(b.view), expected);
  d.check_exact("out", out, expected);
}

void clamp_case(Draw& d) {
  const DType dtype = d.floating();
  const Shape shape = d.shape(static_cast<int>(d.one_in(9) ? d.whole(6, 8) : d.whole(0, 5)), d.elements());
  const double low = -0.75, high = d.of({-0.75, 0.5, double{INFINITY}});  // what every dtype holds
  d.say("clamp", low, high);
  const Place gy = d.operand(shape, dtype, "gy"), x = d.operand(shape, dtype, "x", -2, 2, {low, high, NAN, -INFINITY});
  Place out = d.place(shape, dtype, "out"), gx = d.place(shape, dtype, "gx");
  kernels::clamp(x.view, low, high, out.view);
  kernels::clamp_grad(gy.view, x.view, low, high, gx.view);
  Tensor limited = blank(shape, dtype), passed = blank(shape);
  ref::clamp(rows(x.view), low, high, limited);
  ref::clamp_grad(wide(gy.view), wide(x.view), low, high, passed);
  d.check_exact("out", out, limited);
  Tensor expected = blank(shape, dtype);
  ref::copy(passed, expected);
  d.check_exact("gx", gx, expected);
}

void axpby_case(Draw& d) {
  const DType dtype = d.floating();
  const Shape shape = d.shape(static_cast<int>(d.one_in(9) ? d.whole(6, 8) : d.whole(0, 5)), d.elements());
  const double alpha = d.factor(), beta = d.one_in(3) ? 0 : d.factor();
  d.say("axpby", alpha, beta);
  const Place x = d.operand(shape, dtype, "x", -4, 4, specials(d, small));
  Place y = d.operand(shape, dtype, "y", -4, 4, specials(d, small), false);
  Tensor expected = wide(y.view), size = magnitude(expected);
  ref::axpby(alpha, wide(x.view), beta, expected);
  ref::axpby(std::abs(alpha), magnitude(wide(x.view)), std::abs(beta), size);
  kernels::axpby(alpha, x.view, beta, y.view);
  d.check("y", y, elements(expected), [&, m = Magnitudes(size)](size_t i) { return 3 * arithmetic(dtype) * m(i); });
}

void copy_case(Draw& d) {
  const DType every[] = {DType::float32, DType::bfloat16, DType::float64, DType::float32,
                         DType::int32,   DType::int64,    DType::uint8,   DType::boolean};
  const auto dtype = [&] { return every[d.whole(0, 7)]; };
  const DType from = dtype(), to = d.one_in(2) ? from : dtype();
  const Shape shape = d.shape(static_cast<int>(d.whole(0, 8)), d.elements());
  const double range = d.of({1.0, 300.0, 5e9});
  const Place x = d.operand(shape, from, "x", is_floating(from) ? -range : 0, range, specials(d, extreme));
  Place out = d.place(shape, to, "out");
  kernels::copy(x.view, out.view);
  Tensor expected = blank(shape, to);
  ref::copy(rows(x.view), expected);
  d.check_exact("out", out, expected);
  kernels::fill(1, out.view);
  d.check_exact("filled", out, Tensor::full(shape, 1, to));
}

// ---- Views and joined copies, against positions counted here -------------------------------------------------------

/// The row-major number of a position.
size_t number_of(const Dims& position, const Shape& shape) {
  int64_t n = 0;
  for (int d = 0; d < shape.rank(); ++d) n = n * shape[d] + position[d];
  return static_cast<size_t>(n);
}
/// The elements of a tensor of a shape, each from its position.
template <class F>
std::vector<double> made_of(const Shape& shape, F element) {
  std::vector<double> out;
  for (int64_t i = 0; i < numel(shape); ++i) {
    Dims position = Dims::filled(shape.rank(), 0);
    for (int64_t d = shape.rank() - 1, rest = i; d >= 0; --d)
      position[static_cast<int>(d)] = rest % shape[static_cast<int>(d)], rest /= shape[static_cast<int>(d)];
    out.push_back(element(position));
  }
  return out;
}

void view_case(Draw& d) {
  const DType dtype = number(d);
  const int rank = static_cast<int>(d.whole(1, 5));
  const Shape shape = d.shape(rank, d.elements());
  const Place source = d.operand(shape, dtype, "x", 0, 99);
  const Tensor& x = source.view;
  const std::vector<double> values = elements(x);
  const int dim = static_cast<int>(d.whole(0, rank - 1));
  const auto compare = [&](const char* name, const Tensor& got, const auto& element) {
    const Tensor copy = rows(got);
    d.check(name, {copy, copy}, made_of(got.shape(), element), [](size_t) { return 0.0; });
  };
  Dims before = Dims::filled(rank, 0), after = before, order;
  for (int i = 0; i < rank; ++i) before[i] = d.whole(0, 2), after[i] = d.whole(0, 2), order.push_back(i);
  for (int i = rank - 1; i > 0; --i) std::swap(order[i], order[static_cast<int>(d.whole(0, i))]);
  compare("pad", clone(pad(x, before, after, 5)), [&](Dims at) {
    for (int i = 0; i < rank; ++i)
      if ((at[i] -= before[i]) < 0 || at[i] >= shape[i]) return 5.0;
    return values[number_of(at, shape)];
  });
  compare("permute", contiguous(permute(x, order)), [&](const Dims& at) {
    Dims from = at;
    for (int i = 0; i < rank; ++i) from[static_cast<int>(order[i])] = at[i];
    return values[number_of(from, shape)];
  });
  const int64_t begin = d.whole(0, shape[dim]), end = d.whole(0, shape[dim]), step = d.whole(1, 3);
  const Tensor part = slice(x, dim, begin, end, step);
  const auto of_part = [&](Dims at) {
    at[dim] = begin + at[dim] * step;
    return values[number_of(at, shape)];
  };
  compare("slice", contiguous(part), of_part);
  compare("reshape", contiguous(reshape(part, {-1, 1})),
          [&, p = made_of(part.shape(), of_part)](const Dims& at) { return p[static_cast<size_t>(at[0])]; });
  const Tensor both = concat(std::vector<Tensor>{x, part}, dim);
  compare("concat", contiguous(both), [&](const Dims& at) {
    Dims from = at;
    if (at[dim] < shape[dim]) return values[number_of(at, shape)];
    from[dim] -= shape[dim];
    return of_part(from);
  });
}

// ---- Reductions and indices ----------------------------------------------------------------------------------------

void reduce_case(Draw& d) {
  const int64_t kind = d.whole(0, 3);  // sum, max, min, mean
  const DType dtype = kind == 3 ? d.floating() : number(d);
  const Shape shape = d.shape(static_cast<int>(d.whole(1, 5)), d.elements(), kind == 0);
  Shape to = shape;
  for (int i = 0; i < shape.rank(); ++i)
    if (d.one_in(2)) to[i] = 1;
  const auto op = static_cast<ReduceOp>(kind == 3 ? 0 : kind);
  d.say("reduce", kind, "to", to);
  const Place x = d.operand(shape, dtype, "x", dtype == DType::uint8 ? 0 : -50, 50,
                            kind == 1 || kind == 2 ? specials(d, extreme)
                            : d.one_in(6)          ? not_finite
                                                   : std::vector<double>());
  const DType result = kind == 3 && dtype == DType::bfloat16 && d.one_in(2) ? DType::float32 : dtype;
  Place out = d.place(to, result, "out");
  kind == 3 ? kernels::mean(x.view, out.view) : kernels::reduce(op, x.view, out.view);
  Tensor expected = blank(to, is_floating(dtype) ? DType::float64 : dtype), size = blank(to);
  ref::reduce(op, is_floating(dtype) ? wide(x.view) : rows(x.view), expected);
  if (!is_floating(dtype) || kind == 1 || kind == 2) return d.check_exact("out", out, expected);
  ref::reduce(ReduceOp::sum, magnitude(wide(x.view)), size);
  const double count = numel(to) == 0 ? 1 : static_cast<double>(numel(shape) / numel(to));
  const double share = kind == 3 ? 1 / count : 1;
  if (kind == 3) ref::binary_scalar(BinaryOp::mul, expected, share, expected);
  // At most 32 float32 additions before a total goes on in float64; a mean's sum and quotient are rounded.
  const double terms = dtype == DType::float64 ? count + 4 : 35;
  d.check("out", out, elements(expected), [&, m = Magnitudes(size), e = Magnitudes(expected)](size_t i) {
    return terms * arithmetic(dtype) * m(i) * share + (kind == 3 ? 2 * roundoff(result) * e(i) : 0);
  });
}

void index_case(Draw& d) {
  const DType dtype = number(d);
  const int rank = static_cast<int>(d.whole(1, 4)), dim = static_cast<int>(d.whole(0, rank - 1));
  const Shape shape = d.shape(rank, d.elements(), false);
  Shape picked = shape;
  picked[dim] = d.whole(0, 40);
  const Place x = d.operand(shape, dtype, "x", 0, 9, specials(d, extreme));
  const Place index = d.integers(picked, shape[dim], "index");
  d.say("along", dim);
  const std::vector<double> values = elements(x.view), numbers = elements(index.view);
  const auto target = [&](Dims at) {
    at[dim] = static_cast<int64_t>(numbers[number_of(at, picked)]);
    return number_of(at, shape);
  };
  Place out = d.place(picked, dtype, "out");
  kernels::gather(x.view, dim, index.view, out.view);
  d.check("gathered", out, made_of(picked, [&](const Dims& at) { return values[target(at)]; }),
          [](size_t) { return 0.0; });
  const Place source = d.operand(picked, dtype, "source", 0, 9);
  Place sums = d.operand(shape, dtype, "sums", 0, 9, {}, false);
  std::vector<double> expected = elements(sums.view), terms(expected.size());
  const std::vector<double> added = elements(source.view);
  made_of(picked, [&](const Dims& at) {
    expected[target(at)] += added[number_of(at, picked)];
    return terms[target(at)] += 1;
  });
  kernels::scatter_add(dim, index.view, source.view, sums.view);
  const double unit = roundoff(dtype);  // each sum is rounded; integers below 400 wrap as uint8 alone
  if (is_floating(dtype))
    d.check("sums", sums, expected, [&](size_t i) { return terms[i] * unit * expected[i] * (1 + unit * terms[i]); });
  else if (dtype != DType::uint8)
    d.check("sums", sums, expected, [](size_t) { return 0.0; });
  Shape one = shape;
  one[dim] = 1;
  Place first = d.place(one, DType::int64, "first");
  kernels::argmax(x.view, dim, first.view);
  d.check("argmax", first,
          made_of(one,
                  [&](Dims at) {
                    int64_t best = 0;
                    double largest = values[number_of(at, shape)];
                    for (at[dim] = 1; at[dim] < shape[dim] && largest == largest; ++at[dim]) {
                      const double value = values[number_of(at, shape)];
                      if (value != value || value > largest) best = at[dim], largest = value;
                    }
                    return static_cast<double>(best);
                  }),
          [](size_t) { return 0.0; });
}

// ---- Products ------------------------------------------------------------------------------------------------------

void matmul_case(Draw& d) {
  const DType dtype = d.of({DType::float32, DType::float32, DType::float64, DType::bfloat16});
  const int64_t most = d.one_in(8) ? 400 : 70;
  Shape a_shape, b_shape, shape;
  for (int64_t i = d.whole(0, 2); i > 0; --i)
    for (Shape* s : {&a_shape, &b_shape, &shape}) s->push_back(s == &a_shape ? d.whole(1, 4) : a_shape.back());
  int64_t m = d.extent(most), k = d.one_in(40) ? 0 : d.extent(most), n = d.one_in(40) ? 0 : d.extent(most);
  if (d.one_in(8)) {  // of vectors, long ones too
    const int64_t longest = a_shape.empty() ? 900 : 90;
    for (int64_t* extent : {&m, &k, &n}) *extent = d.whole(1, longest);
    *d.of({&m, &k, &n}) = 1;
  }
  for (const auto& [s, r, c] : {std::tuple(&a_shape, m, k), {&b_shape, k, n}, {&shape, m, n}})
    s->push_back(r), s->push_back(c);
  const double alpha = d.factor(), beta = d.one_in(2) ? 0 : d.factor();
  d.say("matmul", alpha, beta);
  const Place a = d.operand(a_shape, dtype, "a", -1, 1, d.one_in(6) ? not_finite : std::vector<double>());
  const Place b = d.operand(b_shape, dtype, "b");
  Place out = beta == 0 ? d.place(shape, dtype, "out") : d.operand(shape, dtype, "out", -1, 1, {}, false);
  Tensor expected = beta == 0 ? Tensor::zeros(shape, DType::float64) : wide(out.view), size = magnitude(expected);
  ref::matmul(wide(a.view), wide(b.view), alpha, beta, expected);
  ref::matmul(magnitude(wide(a.view)), magnitude(wide(b.view)), std::abs(alpha), std::abs(beta), size);
  kernels::matmul(a.view, b.view, alpha, beta, out.view);
  // k products and sums in any order, and the roundings of alpha's and beta's products
  const double terms = static_cast<double>(k) + 4;
  d.check("out", out, elements(expected), [&, s = Magnitudes(size), e = Magnitudes(expected)](size_t i) {
    const double narrow = dtype == DType::bfloat16 ? 2 * roundoff(dtype) * s(i) : 0;
    return terms * arithmetic(dtype) * s(i) + narrow;
  });
  if (beta == 0) {
    const Tensor first = rows(out.view);
    kernels::matmul(a.view, b.view, alpha, beta, out.view);
    d.check_exact("again", out, first);
  }
  if (a_shape.rank() > 2 || k == 0) return;
  Place squared = d.place(shape, dtype, "of squares");
  kernels::matmul_of_squares(a.view, b.view, squared.view);
  ref::matmul_of_squares(wide(a.view), wide(b.view), expected);
  ref::matmul_of_squares(magnitude(wide(a.view)), wide(b.view), size);
  d.check("of squares", squared, elements(expected), [&, s = Magnitudes(size)](size_t i) {
    return ((terms + 1) * arithmetic(dtype) + (dtype == DType::bfloat16 ? roundoff(dtype) : 0)) * s(i);
  });
}

/// Images of bytes, placed as a crop says.
void images_case(Draw& d) {
  const Shape all = d.shape(4, d.elements(), false);
  const int64_t channels = all[1], count = d.whole(0, 9);
  const Place pixels = d.operand(all, DType::uint8, "pixels", 0, 256);
  const Tensor numbers = rows(d.integers({count}, all[0], "numbers").view);
  const Tensor table = rows(d.operand({channels, 256}, DType::float32, "table").view);
  const RandomCrop crop = d.one_in(3) ? RandomCrop{} : RandomCrop{.padding = d.whole(0, 4), .key = d.key()};
  const Shape shape = {count, channels, all[2], all[3]};
  Place out = d.place(shape, DType::float32, "out");
  Tensor expected = blank(shape, DType::float32);
  kernels::pick_images(pixels.view, numbers, table, crop, out.view);
  ref::pick_images(rows(pixels.view), numbers, table, crop, expected);
  d.check_exact("out", out, expected);
}

}  // namespace

TEST_CASE("random cases: elementwise kernels, copies and views") {
  campaign("unary", 4000, unary_case);
  campaign("binary", 6000, binary_case);
  campaign("where", 1000, where_case);
  campaign("clamp", 1000, clamp_case);
  campaign("axpby", 1000, axpby_case);
  campaign("copy", 4000, copy_case);
  campaign("view", 1000, view_case);
}

TEST_CASE("random cases: reductions, indices and products") {
  campaign("reduce", 5000, reduce_case);
  campaign("index", 1000, index_case);
  campaign("images", 300, images_case);
  campaign("matmul", 4000, matmul_case);
}
