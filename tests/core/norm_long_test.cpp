// A campaign of random cases: normalization, softmax, cross-entropy, random numbers and the steps of optimizers against
// the reference in float64.
#include <cmath>

#include "core/ops.h"
#include "tests/core/random_cases.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

/// Element `c` of each: the vectors of a normalization, with 1 or 0 where there is none.
std::vector<double> vector_or(const Tensor& x, int64_t n, double otherwise) {
  return x.defined() ? elements(x) : std::vector<double>(static_cast<size_t>(n), otherwise);
}
double at(const std::vector<double>& v, int64_t i) { return v[static_cast<size_t>(i)]; }
double sum_of(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += x;
  return sum;
}

/// The elements of one group of x (a channel, a row, or some channels of an image), in row-major order.
struct Groups {
  Groups(const Shape& shape, int dim) : count(shape[dim]), inner(1) {
    for (int i = dim + 1; i < shape.rank(); ++i) inner *= shape[i];
    size = numel(shape) / std::max<int64_t>(1, count);
  }
  static Groups of_channels(const Shape& shape, int64_t groups) {
    return Groups(Shape{shape[0] * groups, numel(shape) / (shape[0] * groups)}, 0);
  }
  /// The group of the element with a row-major number.
  int64_t of(size_t i) const { return static_cast<int64_t>(i) / inner % count; }
  std::vector<std::vector<double>> split(const std::vector<double>& values) const {
    std::vector<std::vector<double>> out(static_cast<size_t>(count));
    for (size_t i = 0; i < values.size(); ++i) out[static_cast<size_t>(of(i))].push_back(values[i]);
    return out;
  }
  int64_t count, inner, size;
};

/// How far float32's mean and reciprocal deviation of a group may be off where a sum takes `terms` roundings. The
/// squares between the means of a group's `pieces` take on the means' errors as factors of how far these are apart,
/// which is at most the deviation in the root of the mean square.
struct Moments {
  Moments(const std::vector<double>& x, double eps, double terms, double unit, bool pieces) {
    const double n = static_cast<double>(x.size());
    double magnitude = 0, squares = 0;
    for (const double v : x) mean += v / n, magnitude += std::abs(v) / n;
    for (const double v : x) squares += (v - mean) * (v - mean) / n;
    mean_error = terms * unit * magnitude;
    rstd = 1 / std::sqrt(squares + eps);
    // d rstd / rstd = -d variance / (2 (variance + eps)); a center that is off adds its square.
    const double between = pieces ? std::sqrt(squares) * mean_error : 0;
    rstd_error =
        rstd * (((terms + 6) * unit * squares + between + 4 * mean_error * mean_error) * rstd * rstd + 2 * unit);
  }
  double mean = 0, rstd, mean_error, rstd_error;
};

enum class Norm { batch, layer, group };

/// The statistics of group norm are contiguous.
void group_norm_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& y, Tensor& mean,
                        Tensor& rstd) {
  Tensor dense_mean = Tensor::empty(mean.shape(), mean.dtype()), dense_rstd = Tensor::empty_like(dense_mean);
  kernels::group_norm_forward(x, weight, bias, eps, y, dense_mean, dense_rstd);
  ref::copy(dense_mean, mean);
  ref::copy(dense_rstd, rstd);
}
void group_norm_backward(const Tensor& gy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                         const Tensor& rstd, Tensor& gx, Tensor& gweight, Tensor& gbias) {
  kernels::group_norm_backward(gy, x, weight, contiguous(mean), contiguous(rstd), gx, gweight, gbias);
}

void norm_case(Draw& d, Norm norm) {
  const bool batch = norm == Norm::batch, layer = norm == Norm::layer;
  const DType dtype = batch ? d.floating() : d.of({DType::float32, DType::float32, DType::float64});
  const DType parameters = dtype == DType::bfloat16 ? DType::float32 : dtype;
  const Shape shape = d.shape(layer ? 2 : d.of({2, 4, 4, 4, 3}), d.elements(), false);
  const int64_t columns = shape[1];
  int64_t split = d.whole(1, columns);
  while (columns % split != 0) --split;
  const Groups by_column(shape, 1);
  const Groups groups = batch ? by_column : layer ? Groups(shape, 0) : Groups::of_channels(shape, split);
  const Shape statistics = norm == Norm::group ? Shape{shape[0], split} : Shape{groups.count};
  const double eps = d.of({1e-5, 1e-3, 0.1}), center = d.of({0.0, 0.0, 2.0, -30.0, 1000.0}), unit = arithmetic(dtype);
  d.say(batch ? "batch norm" : layer ? "layer norm" : "group norm", eps, "around", center, "groups", split);
  const Place x = d.operand(shape, dtype, "x", center - 1, center + 1), gy = d.operand(shape, dtype, "gy");
  const auto optional = [&](const char* name) {
    return d.one_in(3) ? Tensor() : d.operand({columns}, parameters, name, -2, 2, {}, false).view;
  };
  const Tensor weight = optional("weight"), bias = optional("bias");
  const std::vector<double> w = vector_or(weight, columns, 1), b = vector_or(bias, columns, 0), xs = elements(x.view);
  const auto gain = [&](size_t i) { return at(w, by_column.of(i)); };
  const auto shift = [&](size_t i) { return at(b, by_column.of(i)); };
  // Rows are summed in float32 in any order, columns in float32 over at most 32.
  const double terms = layer                     ? static_cast<double>(columns) + 4
                       : dtype == DType::float64 ? static_cast<double>(groups.size) + 4
                                                 : 36;
  std::vector<Moments> moments;
  for (const auto& group : groups.split(xs)) moments.emplace_back(group, eps, terms, unit, !layer);
  const auto of = [&](size_t i) -> const Moments& { return moments[static_cast<size_t>(groups.of(i))]; };

  Place y = d.place(shape, dtype, "y"), mean = d.place(statistics, parameters, "mean");
  Place rstd = d.place(statistics, parameters, "rstd");
  Tensor right = blank(shape), right_mean = blank(statistics), right_rstd = blank(statistics);
  const auto forward = batch ? kernels::batch_norm_train : layer ? kernels::layer_norm_forward : group_norm_forward;
  forward(x.view, weight, bias, eps, y.view, mean.view, rstd.view);
  Place inside = d.copy(x.view, "inside");
  forward(inside.view, weight, bias, eps, inside.view, mean.view, rstd.view);
  const auto right_forward = batch ? ref::batch_norm_train : layer ? ref::layer_norm_forward : ref::group_norm_forward;
  right_forward(wide(x.view), wide(weight), wide(bias), eps, right, right_mean, right_rstd);
  d.check("mean", mean, elements(right_mean), [&](size_t i) { return moments[i].mean_error; });
  d.check("rstd", rstd, elements(right_rstd), [&](size_t i) { return moments[i].rstd_error; });
  const auto bound = [&](size_t i) {
    const Moments& m = of(i);
    const double apart = std::abs(xs[i] - m.mean), g = std::abs(gain(i));
    const double moved = (m.mean_error + unit * std::abs(m.mean)) * m.rstd + apart * m.rstd_error;
    return g * (2 * moved + 4 * unit * apart * m.rstd) + 2 * unit * std::abs(shift(i));
  };
  d.check("y", y, elements(right), bound);
  d.check("in place", inside, elements(right), bound);

  // From here on with statistics that all share.
  const Tensor given_mean = d.copy(mean.view, "given mean").view, given_rstd = d.copy(rstd.view, "given rstd").view;
  const std::vector<double> ms = elements(given_mean), rs = elements(given_rstd), gs = elements(gy.view);
  const auto normalized = [&](size_t i) { return (xs[i] - at(ms, groups.of(i))) * at(rs, groups.of(i)); };
  if (batch) {
    Place applied = d.place(shape, dtype, "applied");
    kernels::batch_norm_apply(x.view, weight, bias, given_mean, given_rstd, applied.view);
    ref::batch_norm_apply(wide(x.view), wide(weight), wide(bias), wide(given_mean), wide(given_rstd), right);
    d.check("applied", applied, elements(right),
            [&](size_t i) { return 4 * unit * std::abs(normalized(i) * gain(i)) + unit * std::abs(shift(i)); });
  }
  Place gx = d.place(shape, dtype, "gx"), gweight = d.place({columns}, parameters, "gweight");
  Place gbias = d.place({columns}, parameters, "gbias");
  Tensor right_gweight = blank({columns}), right_gbias = blank({columns});
  const auto backward = batch   ? kernels::batch_norm_backward
                        : layer ? kernels::layer_norm_backward
                                : group_norm_backward;
  Place over_gy = d.copy(gy.view, "inside");
  backward(over_gy.view, x.view, weight, given_mean, given_rstd, over_gy.view, gweight.view, gbias.view);
  backward(gy.view, x.view, weight, given_mean, given_rstd, gx.view, gweight.view, gbias.view);
  const auto right_backward = batch   ? ref::batch_norm_backward
                              : layer ? ref::layer_norm_backward
                                      : ref::group_norm_backward;
  right_backward(wide(gy.view), wide(x.view), wide(weight), wide(given_mean), wide(given_rstd), right, right_gweight,
                 right_gbias);
  // Per column the sums of |gy| and |gy normalized|, and per group those of the terms that gx takes the mean of.
  std::vector<double> g1, gn, t1, tn;
  for (size_t i = 0; i < gs.size(); ++i) {
    const double t = batch ? gs[i] : gs[i] * gain(i);
    g1.push_back(std::abs(gs[i])), gn.push_back(std::abs(gs[i] * normalized(i)));
    t1.push_back(std::abs(t)), tn.push_back(std::abs(t * normalized(i)));
  }
  const auto sums = [](const std::vector<std::vector<double>>& parts) {
    std::vector<double> out;
    for (const auto& part : parts) out.push_back(sum_of(part));
    return out;
  };
  const auto c1 = sums(by_column.split(g1)), cn = sums(by_column.split(gn));
  const auto s1 = sums(groups.split(t1)), sn = sums(groups.split(tn));
  const double column_terms = layer ? 5 : terms;  // of layer norm in float64
  const double of_double = static_cast<double>(numel(shape)) * 0x1p-53;
  d.check("gbias", gbias, elements(right_gbias), [&](size_t i) { return (column_terms * unit + of_double) * c1[i]; });
  d.check("gweight", gweight, elements(right_gweight),
          [&](size_t i) { return ((column_terms + 4) * unit + of_double) * cn[i]; });
  const auto bound_of_gx = [&](size_t i) {
    const auto group = static_cast<size_t>(groups.of(i));
    const double n = static_cast<double>(groups.size), scale = rs[group] * (batch ? std::abs(gain(i)) : 1);
    const double share = s1[group] / n, slope = std::abs(normalized(i)) * sn[group] / n;
    return scale * unit * ((terms + 8) * (share + slope) + 6 * t1[i]);
  };
  d.check("gx", gx, elements(right), bound_of_gx);
  d.check("over gy", over_gy, elements(right), bound_of_gx);
}

void batch_norm_case(Draw& d) { norm_case(d, Norm::batch); }
void layer_norm_case(Draw& d) { norm_case(d, Norm::layer); }
void group_norm_case(Draw& d) { norm_case(d, Norm::group); }

// ---- Softmax and cross-entropy -------------------------------------------------------------------------------------

void softmax_case(Draw& d) {
  const DType dtype = d.of({DType::float32, DType::float32, DType::float64});
  const int rank = static_cast<int>(d.whole(1, 4)), dim = static_cast<int>(d.whole(0, rank - 1));
  const Shape shape = d.shape(rank, d.elements());
  const bool log = d.one_in(2);
  const double range = d.of({1.0, 8.0, 60.0, 2000.0}), unit = arithmetic(dtype), n = static_cast<double>(shape[dim]);
  d.say(log ? "log softmax" : "softmax", "along", dim);
  const Place x = d.operand(shape, dtype, "x", -range, range,
                            d.one_in(6) ? std::vector<double>{-INFINITY, NAN} : std::vector<double>());
  Place y = d.place(shape, dtype, "y");
  Tensor right = blank(shape);
  kernels::softmax(x.view, dim, log, y.view);
  Place inside = d.copy(x.view, "inside");
  kernels::softmax(inside.view, dim, log, inside.view);
  ref::softmax(wide(x.view), dim, log, right);
  if (numel(shape) == 0) return;
  Shape one = shape;
  one[dim] = 1;
  const auto along = [&](ReduceOp op, const Tensor& t) {  // reduced and spread again
    Tensor out = blank(one);
    ref::reduce(op, t, out);
    Strides strides = out.strides();
    strides[dim] = 0;
    return Tensor(out.storage(), 0, shape, strides, DType::float64);
  };
  const auto times = [&](BinaryOp op, const Tensor& a, const Tensor& b) {
    Tensor out = blank(shape);
    ref::binary(op, a, b, out);
    return out;
  };
  // x - max is rounded, the function is within 2 ulps, and the n terms of the sum err each by as much.
  const Tensor below = magnitude(times(BinaryOp::sub, wide(x.view), along(ReduceOp::max, wide(x.view))));
  Tensor p = right;
  if (log) p = blank(shape), ref::unary(UnaryOp::exp, right, p);
  Tensor reach = times(BinaryOp::mul, below, p);
  for (double* v = reach.data<double>(); v < reach.data<double>() + reach.numel(); ++v)
    if (std::isnan(*v)) *v = 0;  // -infinity, whose term is exactly 0
  const auto apart = elements(below), mean = elements(along(ReduceOp::sum, reach)), e = elements(right);
  const auto bound = [&](size_t i) {
    return unit * (log ? apart[i] + mean[i] + n + 12 + 4 * std::abs(e[i]) : e[i] * (apart[i] + mean[i] + n + 12));
  };
  d.check("y", y, e, bound);
  d.check("in place", inside, e, bound);
  const Place gy = d.operand(shape, dtype, "gy");
  const Place given = d.copy(y.view, "given y");
  Place gx = d.place(shape, dtype, "gx");
  Tensor right_gx = blank(shape);
  kernels::softmax_backward(gy.view, given.view, dim, log, gx.view);
  Place over_gy = d.copy(gy.view, "inside");
  kernels::softmax_backward(over_gy.view, given.view, dim, log, over_gy.view);
  ref::softmax_backward(wide(gy.view), wide(given.view), dim, log, right_gx);
  const Tensor g = magnitude(wide(gy.view));
  const auto total = elements(along(ReduceOp::sum, log ? g : times(BinaryOp::mul, g, magnitude(wide(given.view)))));
  const auto bound_of_gx = [&, gs = elements(g), o = elements(given.view)](size_t i) {
    const double share = log ? std::exp(o[i]) : std::abs(o[i]);
    return unit * ((n + 6) * share * total[i] + 3 * gs[i] * (log ? 1 : share));
  };
  d.check("gx", gx, elements(right_gx), bound_of_gx);
  d.check("over gy", over_gy, elements(right_gx), bound_of_gx);
}

void cross_entropy_case(Draw& d) {
  const DType dtype = d.of({DType::float32, DType::float64});
  Shape shape = d.shape(2, d.elements(), false);
  const int64_t n = shape[0], classes = shape[1];
  const double smoothing = d.of({0.0, 0.1, 0.5, 1.0}), share = d.of({1.0, 0.125, -2.0}),
               range = d.of({1.0, 9.0, 500.0});
  d.say("cross entropy, smoothing", smoothing, "share", share);
  const Place x = d.operand(shape, dtype, "x", -range, range), gy = d.operand({n}, dtype, "gy");
  const Place labels = d.integers({n}, classes, "labels");
  Place losses = d.place({n}, dtype, "losses"), gx = d.place(shape, dtype, "gx");
  Tensor sums = blank({n, 2}), right = blank({n}), right_sums = blank({n, 2}), right_gx = blank(shape);
  kernels::cross_entropy(x.view, labels.view, smoothing, losses.view, sums);
  ref::cross_entropy(wide(x.view), rows(labels.view), smoothing, right, right_sums);
  kernels::cross_entropy_backward(gy.view, x.view, labels.view, right_sums, smoothing, share, gx.view);
  ref::cross_entropy_backward(wide(gy.view), wide(x.view), rows(labels.view), right_sums, smoothing, share, right_gx);
  // All of it is float64, rounded once.
  const double unit = (static_cast<double>(classes) + 16) * 0x1p-53, largest = 2 * range + 10;
  d.check("losses", losses, elements(right), [&](size_t) { return unit * largest; });
  d.check("sums", {sums, sums}, elements(right_sums), [&](size_t) { return unit * largest; });
  d.check("gx", gx, elements(right_gx), [&](size_t) { return unit * std::abs(share) * 2 * largest; });
}

// ---- Random numbers ------------------------------------------------------------------------------------------------

void random_case(Draw& d) {
  const DType dtype = d.of({DType::float32, DType::float32, DType::bfloat16, DType::float64});
  const Shape shape = d.shape(static_cast<int>(d.whole(0, 5)), d.elements());
  RandomKey key = d.key();
  if (d.one_in(4)) key.offset = (uint64_t{1} << 32) - static_cast<uint64_t>(d.whole(0, 50));
  const double p = d.of({0.0, 0.5, 0.1, 0.3, 0.999, d.real(0, 1)});
  d.say("dropout", p);
  const Place x =
      d.operand(shape, dtype, "x", -4, 4, d.one_in(4) ? std::vector<double>{NAN, INFINITY} : std::vector<double>());
  Place y = d.place(shape, dtype, "y");
  kernels::dropout(key, p, x.view, y.view);
  Place inside = d.copy(x.view, "inside");
  kernels::dropout(key, p, inside.view, inside.view);
  d.check_exact("in place", inside, y.view);
  Tensor right = blank(shape);
  ref::dropout(key, p, wide(x.view), right);
  // The factor and the product are rounded; what is dropped is zero.
  d.check("y", y, elements(right),
          [&, e = elements(right)](size_t i) { return 2 * arithmetic(dtype) * std::abs(e[i]); });
  if (dtype == DType::bfloat16) return;
  Place drawn = d.place(shape, dtype, "drawn");
  Tensor expected = blank(shape, dtype);
  kernels::random_uniform(key, -1, 3, drawn.view);
  ref::random_uniform(key, -1, 3, expected);
  d.check_exact("uniform", drawn, expected);
  kernels::random_normal(key, 2, 3, drawn.view);
  ref::random_normal(key, 2, 3, expected);
  d.check_exact("normal", drawn, expected);
}

// ---- Optimizers ----------------------------------------------------------------------------------------------------

using Kind = RuleUpdate::Kind;

/// Those that divide by the root of a second moment, or of squares, or by it.
bool divides(Kind kind) { return kind == Kind::adam || kind == Kind::curvature || kind == Kind::squares; }

/// One tensor of a step, for the device and, in float64, for the reference.
struct Both {
  Tensor ours, right;
};

void update_case(Draw& d) {
  const Kind kind = d.of({Kind::plain, Kind::momentum, Kind::nesterov, Kind::adam, Kind::curvature, Kind::squares});
  const int64_t form = d.whole(0, 2);  // no P, rows, a diagonal
  const bool transformed = d.one_in(2), learns = d.one_in(2), apart = learns && kind == Kind::plain && d.one_in(2);
  const int64_t n = form == 1 ? d.of<int64_t>({1, 2, 3, 9, 9, 16, 25, 33, 64, 65}) : 1;
  const int64_t count = d.one_in(10) ? d.whole(1, 60000 / n) : d.whole(1, 300);
  const Shape shape = {count, n};
  d.say("update", static_cast<int>(kind), "form", form, "of", shape, transformed ? "transformed" : "",
        learns ? "learns" : "", apart ? "apart" : "");
  std::vector<std::pair<const char*, Both>> all;
  const auto made = [&](const char* name, const Shape& of, double low) {
    std::vector<float> values(static_cast<size_t>(numel(of)));
    for (float& v : values) v = static_cast<float>(d.real(low, 1));
    const Tensor x = Tensor::from(values, of);
    all.push_back({name, {x, wide(x)}});
    return all.back().second;
  };
  Both value = made("value", shape, -1), gradient = made("gradient", shape, -1), first = made("first", shape, -1);
  Both second = made("second", shape, 0.1), kept = made("kept", shape, -1), previous = made("previous", shape, -1);
  Both p = made("p", {n, n}, -1), correlation = made("correlation", {n, n}, -1), diagonal = made("diagonal", shape, -1);
  Both h1 = made("hyper first", shape, -1), h2 = made("hyper second", shape, 0.1), h = made("curvature", shape, -1);
  Both correlated = made("correlated", shape, -1);
  const AdamSpec adam{.beta1 = 0.75, .beta2 = 0.9375, .eps = 0.015625, .correction1 = 0.5, .correction2 = 0.25};
  const SquaresSpec squares{.keep = 0.9375, .add = 0.0625, .eps = 0.015625, .factor = 0.5};
  const bool magnitudes = d.one_in(2), root = d.one_in(2), remembers = kind != Kind::squares || d.one_in(2);
  const double lr = 0.5, decay = d.of({0.0, 0.25, 2.0}), momentum = d.of({0.0, 0.75});
  const auto update = [&](Tensor Both::*side) {
    const auto rule = [&](Kind k, Both& m, Both& v) {
      return RuleUpdate{.kind = k,
                        .lr = lr,
                        .decay = decay,
                        .momentum = momentum,
                        .adam = adam,
                        .squares = squares,
                        .first = k == Kind::plain || !remembers ? nullptr : &(m.*side),
                        .second = divides(k) ? &(v.*side) : nullptr,
                        .curvature = k == Kind::curvature ? &(h.*side) : nullptr,
                        .magnitudes = magnitudes,
                        .root = k != Kind::curvature || root};
    };
    ParameterUpdate u{.value = &(value.*side), .gradient = &(gradient.*side)};
    if (transformed) u.factor = 0.5, u.limit = 0.375, u.decay = 0.25, u.late_decay = 0.125, u.kept = &(kept.*side);
    u.rule = rule(kind, first, second);
    if (learns) u.previous = &(previous.*side);
    if (apart && form != 0) u.correlated = &(correlated.*side);
    if (form == 1) u.p = &(p.*side);
    if (form == 1 && learns) u.correlation = &(correlation.*side);
    if (form == 2) {
      u.diagonal = &(diagonal.*side), u.hyper_factor = -0.5;
      u.hyper = rule(kind == Kind::curvature ? Kind::adam : kind, h1, h2);
    }
    return u;
  };
  const ParameterUpdate ours[] = {update(&Both::ours)}, right[] = {update(&Both::right)};
  kernels::update(ours);
  ref::update(right);
  // All start within 1, so that |u| <= n + 1. A sum of n products errs by (n + 2) roundings of that; the moments' parts
  // by two more, and Adam's direction is their mean over at least sqrt(0.09 / 0.25), without a root over 0.09 / 0.25.
  // What is rounded elsewhere are a dozen values of at most 8. A correlation adds the rows of a tile, at most 1024 / n,
  // in float32, then in float64.
  const double size = static_cast<double>(n) + 1, u = 0x1p-24;
  for (const auto& [name, pair] : all) {
    const bool sums = pair.ours.shape() == Shape{n, n} && std::string_view(name) == "correlation";
    const double bound = sums ? (1024.0 / static_cast<double>(n) + 4) * static_cast<double>(count)
                              : (static_cast<double>(n) + 4) * size * (divides(kind) ? 8 : 2) + 12 * 8;
    d.check(name, {pair.ours, pair.ours}, elements(pair.right), [&](size_t) { return bound * u; });
  }
}

/// Some matrices at once, each with a form and a rule.
void matrices_case(Draw& d) {
  struct Matrix {
    Tensor m, c, p, first, second;
  };
  const auto made = [&](int64_t n, double low) {
    std::vector<float> values(static_cast<size_t>(n * n));
    for (float& v : values) v = static_cast<float>(d.real(low, 1));
    return Tensor::from(values, {n, n});
  };
  std::vector<Matrix> ours, right;
  std::vector<MatrixUpdate> updates, wanted;
  const int64_t count = d.whole(1, 5);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t n = d.of<int64_t>({1, 2, 3, 8, 9, 9, 16, 25, 33, 70});
    ours.push_back({made(n, -1), made(n, -1), made(n, -1), made(n, -1), made(n, 0.1)});
    const Matrix& o = ours.back();
    right.push_back({wide(o.m), wide(o.c), wide(o.p), wide(o.first), wide(o.second)});
  }
  for (size_t i = 0; i < ours.size(); ++i) {
    const auto form = static_cast<MatrixUpdate::Form>(d.whole(0, 3));
    const Kind kind = d.of({Kind::plain, Kind::momentum, Kind::nesterov, Kind::adam, Kind::squares});
    const AdamSpec adam{.beta1 = 0.75, .beta2 = 0.9375, .eps = 0.015625, .correction1 = 0.5, .correction2 = 0.25};
    const SquaresSpec squares{.keep = 0.9375, .add = 0.0625, .eps = 0.015625, .factor = 0.5};
    const double norm = d.of({0.0, 3.0}), factor = d.of({-0.375, 0.25});
    const bool through = d.one_in(2);
    d.say("matrix of", ours[i].m.shape(), "form", static_cast<int>(form), "rule", static_cast<int>(kind), "norm", norm,
          through);
    for (auto* side : {&ours, &right}) {
      Matrix& x = (*side)[i];
      (side == &ours ? updates : wanted)
          .push_back({.form = form,
                      .norm = norm,
                      .differentiate_norm = through,
                      .matrix = &x.m,
                      .correlation = &x.c,
                      .p = &x.p,
                      .factor = factor,
                      .rule = {.kind = kind,
                               .lr = 0.0625,
                               .decay = 0.25,
                               .momentum = 0.75,
                               .adam = adam,
                               .squares = squares,
                               .first = kind == Kind::plain ? nullptr : &x.first,
                               .second = divides(kind) ? &x.second : nullptr}});
    }
  }
  kernels::update_matrices(updates);
  ref::update_matrices(wanted);
  for (size_t i = 0; i < ours.size(); ++i) {
    // h is a sum of n products below 2, rounded at most n + 3 times each, or, through a norm, of C after it lost a part
    // along Q that is as large, times k; |Q| >= |M| / n for every form, and M is not small.
    const double n = static_cast<double>(ours[i].m.size(0)), u = 0x1p-24;
    double length = 0;
    for (const double v : elements(right[i].m)) length += v * v;
    const double k = updates[i].norm > 0 && n > 1 ? 1 + 3 * n / std::sqrt(length) : 1;
    if (updates[i].norm > 0 && n == 1) continue;  // P is +-norm, and through the norm h is 0 over a root that may be 0
    const double h = 0.375 * (n + 3) * 8 * n * k * k * u;
    double largest = 1;
    for (const double v : elements(right[i].m)) largest = std::max(largest, std::abs(v));
    const double m = 16 * h + 16 * u;
    d.check("m", {ours[i].m, ours[i].m}, elements(right[i].m), [&](size_t) { return m * largest; });
    d.check("first", {ours[i].first, ours[i].first}, elements(right[i].first), [&](size_t) { return m * largest; });
    const double p = 2 * n * largest * largest * (m + (n + 2) * u);
    d.check("p", {ours[i].p, ours[i].p}, elements(right[i].p), [&](size_t) { return p * 4 * k; });
  }
}

}  // namespace

TEST_CASE("random cases: normalization, softmax and cross-entropy") {
  campaign("batch norm", 2000, batch_norm_case);
  campaign("layer norm", 1500, layer_norm_case);
  campaign("group norm", 1500, group_norm_case);
  campaign("softmax", 2500, softmax_case);
  campaign("cross entropy", 1000, cross_entropy_case);
}

TEST_CASE("random cases: random numbers and optimizers") {
  campaign("random", 2000, random_case);
  campaign("update", 4000, update_case);
  campaign("matrices", 1000, matrices_case);
}
