// update(), the steps of many parameters in one pass, against the reference: every rule, with every form of P, with and
// without a transformed gradient.
#include "core/error.h"
#include "core/ops.h"
#include "core/parallel.h"
#include "tests/core/cpu_compare.h"

using namespace gradus;
using namespace gradus::testing;

namespace {

using Kind = RuleUpdate::Kind;
constexpr Kind kinds[] = {Kind::plain, Kind::momentum, Kind::nesterov, Kind::adam, Kind::squares};
constexpr AdamSpec adam{.beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .correction1 = 0.36, .correction2 = 0.1};
constexpr SquaresSpec squares{.keep = 0.9, .add = 0.05, .eps = 1e-3, .factor = 0.5};

bool has_second(Kind kind) { return kind == Kind::adam || kind == Kind::squares; }

enum class Form { none, rows, diagonal };

/// A parameter with random state, all of it between -1 and 1; second moments from 0.1.
struct Subject {
  Tensor value, gradient, first, second, kept, previous, p, correlation, diagonal, hyper_first, hyper_second;

  Subject(const Shape& shape, int64_t n, Memory memory, uint64_t seed) {
    uint64_t draw = seed;
    const auto fresh = [&](double low) { return in(memory, random(shape, ++draw, low)); };
    for (Tensor* t : {&value, &gradient, &first, &previous, &diagonal, &hyper_first}) *t = fresh(-1);
    for (Tensor* t : {&second, &hyper_second}) *t = fresh(0.1);
    kept = fresh(-1);
    p = random({n, n}, ++draw);
    correlation = random({n, n}, ++draw);
  }
  std::vector<Tensor> written() const {
    return {value, first, second, kept, correlation, diagonal, hyper_first, hyper_second};
  }

  ParameterUpdate update(Kind kind, Form form, bool transformed, bool learns) {
    ParameterUpdate u{.value = &value, .gradient = &gradient};
    if (transformed) {
      u.factor = 0.5, u.limit = 0.375, u.decay = 0.25, u.late_decay = 0.125;
      u.kept = &kept;
    }
    const auto rule = [&](Kind kind, Tensor& m, Tensor& v) {
      return RuleUpdate{.kind = kind,
                        .lr = 0.5,
                        .decay = 0.25,
                        .momentum = 0.75,
                        .adam = adam,
                        .squares = squares,
                        .first = kind == Kind::plain ? nullptr : &m,
                        .second = has_second(kind) ? &v : nullptr};
    };
    u.rule = rule(kind, first, second);
    if (learns) u.previous = &previous;
    if (form == Form::rows) {
      u.p = &p;
      if (learns) u.correlation = &correlation;
    }
    if (form == Form::diagonal) {
      u.diagonal = &diagonal;
      u.hyper_factor = -0.5;
      u.hyper = rule(kind, hyper_first, hyper_second);
    }
    return u;
  }
};

/// Roundings: n + 2 of u, whose terms are at most 1 each, and a dozen of values up to 8 (Adam's, which divide by
/// sqrt(0.1 / 0.1) at least, and twice those of squares, by sqrt(0.09)). A correlation adds the rows of a tile in
/// float32, at most 1024 / n of them, then in double.
void compare(const Shape& shape, int64_t n, Memory memory, Kind kind, Form form, bool transformed, bool learns) {
  CAPTURE(shape);
  CAPTURE(n);
  CAPTURE(static_cast<int>(kind));
  CAPTURE(static_cast<int>(form));
  CAPTURE(transformed);
  CAPTURE(learns);
  Subject ours(shape, n, memory, 1), expected(shape, n, memory, 1);
  const ParameterUpdate device[] = {ours.update(kind, form, transformed, learns)};
  const ParameterUpdate reference[] = {expected.update(kind, form, transformed, learns)};
  kernels::update(device);
  ref::update(reference);
  const std::vector<Tensor> got = ours.written(), right = expected.written();
  const double rows = static_cast<double>(numel(shape)) / static_cast<double>(n);
  for (size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    const bool sum = got[i].shape() == Shape{n, n} && form == Form::rows;
    const double bound = sum ? (1024.0 / static_cast<double>(n) + 4) * rows
                             : static_cast<double>((n + 2) * n) * (has_second(kind) ? 4 : 1) + 12 * 8;
    check_within(got[i], right[i], [&](size_t) { return bound * float_epsilon; });
  }
}

}  // namespace

TEST_CASE("updates agree with the reference for every rule and form of P") {
  for (const Kind kind : kinds)
    for (const bool transformed : {false, true})
      for (const bool learns : {false, true}) {
        for (const Memory memory : {Memory::contiguous, Memory::reversed}) {
          compare({7, 5, 3}, 1, memory, kind, Form::none, transformed, learns);
          compare({7, 5, 3}, 1, memory, kind, Form::diagonal, transformed, learns);
          compare({7, 5, 3}, 1, memory, kind, Form::rows, transformed, learns);
        }
        for (const int64_t n : {1, 2, 4, 9, 25, 64})
          for (const int64_t rows : {1, 3, 300})
            compare({rows, n}, n, Memory::contiguous, kind, Form::rows, transformed, learns);
      }
}

TEST_CASE("updates longer than a stretch agree with the reference") {
  for (const bool transformed : {false, true}) {
    compare({64, 50, 3, 3}, 9, Memory::contiguous, Kind::momentum, Form::rows, transformed, true);
    compare({64, 50, 3, 3}, 1, Memory::contiguous, Kind::adam, Form::diagonal, transformed, true);
    compare({20000}, 1, Memory::contiguous, Kind::nesterov, Form::none, transformed, false);
  }
}

TEST_CASE("rows too long for a tile, float64 and empty parameters are the reference's") {
  compare({3, 65}, 65, Memory::contiguous, Kind::momentum, Form::rows, true, true);
  compare({0, 9}, 9, Memory::contiguous, Kind::momentum, Form::rows, true, true);
  Tensor value = Tensor::ones({3}, DType::float64);
  const Tensor gradient = Tensor::from<double>({1, 2, 3}, {3});
  const ParameterUpdate update[] = {{.value = &value, .gradient = &gradient, .rule = {.lr = 0.1}}};
  kernels::update(update);
  CHECK(value.to_vector<double>() == std::vector<double>{1 - 0.1 * 1, 1 - 0.1 * 2, 1 - 0.1 * 3});
}

TEST_CASE("many parameters in one call give the bits of one call each, whatever the threads") {
  const int threads = num_threads();
  std::vector<std::vector<float>> results[3];
  for (int run = 0; run < 3; ++run) {
    set_num_threads(run == 0 ? 1 : 2);
    Subject a({64, 50, 3, 3}, 9, Memory::contiguous, 1), b({33}, 1, Memory::contiguous, 2),
        c({300, 300}, 1, Memory::contiguous, 3);
    const ParameterUpdate updates[] = {a.update(Kind::momentum, Form::rows, false, true),
                                       b.update(Kind::adam, Form::none, true, false),
                                       c.update(Kind::nesterov, Form::rows, true, true)};
    if (run == 2)
      for (const ParameterUpdate& update : updates) kernels::update({&update, 1});
    else
      kernels::update(updates);
    for (const Subject* subject : {&a, &b, &c})
      for (const Tensor& tensor : subject->written()) results[run].push_back(bits_of(tensor));
  }
  set_num_threads(threads);
  CHECK(results[0] == results[1]);
  CHECK(results[0] == results[2]);
}

TEST_CASE("a gradient that is no number, or infinite, is not hidden by a limit") {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  Tensor value = Tensor::zeros({3});
  const Tensor gradient = Tensor::from<float>({nan, infinity, -infinity}, {3});
  for (const auto update : {kernels::update, ref::update}) {
    value = Tensor::zeros({3});
    const ParameterUpdate one[] = {{.value = &value, .gradient = &gradient, .limit = 2, .rule = {.lr = 1}}};
    update({one, 1}, {});
    const auto values = bits_of(value);
    CHECK(std::isnan(values[0]));
    CHECK(values[1] == -2);
    CHECK(values[2] == 2);
  }
}

TEST_CASE("updates that do not fit are refused before anything is written") {
  Tensor value = Tensor::zeros({2, 9}), velocity = Tensor::zeros({2, 9}), other = Tensor::zeros({18});
  Tensor p = Tensor::eye(9), correlation = Tensor::zeros({9, 9}), four = Tensor::eye(4);
  const Tensor gradient = Tensor::ones({2, 9}), columns = in(Memory::reversed, gradient);
  const auto refused = [&](const ParameterUpdate& update, const char* message) {
    const ParameterUpdate fine{.value = &value, .gradient = &gradient, .rule = {.lr = 1}};
    const ParameterUpdate both[] = {fine, update};
    CHECK_THROWS_WITH_AS(update_(both), message, Error);
    CHECK(value.to_vector<float>() == std::vector<float>(18));
  };
  refused({.value = &value}, "[update_] needs a value and a gradient");
  refused({.value = &value, .gradient = &other}, "[update_] the gradient needs shape [2,9], got [18]");
  refused({.value = &value, .gradient = &columns},
          "[update_] the gradient [2,9] has strides [1,2], but the value has [9,1]");
  refused({.value = &value, .gradient = &gradient, .p = &four},
          "[update_] P must be contiguous and act on whole rows of [2,9]");
  refused({.value = &value, .gradient = &gradient, .p = &p, .correlation = &correlation},
          "[update_] a correlation needs P and the previous gradient");
  refused({.value = &value, .gradient = &gradient, .rule = {.kind = Kind::momentum}},
          "[update_] a rule lacks the state that it needs");
  refused({.value = &value, .gradient = &gradient, .rule = {.kind = Kind::adam, .first = &velocity}},
          "[update_] a rule lacks the state that it needs");
  Tensor empty = Tensor::zeros({0, 0}), nothing = Tensor::zeros({4, 0});
  refused({.value = &nothing, .gradient = &nothing, .p = &empty},
          "[update_] P must be contiguous and act on whole rows of [4,0]");
  refused({.value = &value, .gradient = &gradient, .p = &p, .diagonal = &velocity},
          "[update_] takes P or a diagonal, not both");
  Tensor gaps = empty_in(Memory::padded, {2, 9});
  refused({.value = &gaps, .gradient = &gradient}, "[update_] the value [2,9] has gaps in memory");
}

TEST_CASE("updates bump the versions of what they write") {
  Tensor value = Tensor::zeros({4}), velocity = Tensor::zeros({4});
  const Tensor gradient = Tensor::ones({4});
  const uint64_t before = value.version(), state = velocity.version();
  const ParameterUpdate one[] = {{.value = &value,
                                  .gradient = &gradient,
                                  .rule = {.kind = Kind::momentum, .lr = 1, .momentum = 0.5, .first = &velocity}}};
  update_(one);
  CHECK(value.version() == before + 1);
  CHECK(velocity.version() == state + 1);
  CHECK(gradient.version() == 0);
}

namespace {

using MatrixForm = MatrixUpdate::Form;

/// A preconditioner's matrix with random state.
struct Matrix {
  Tensor m, c, p, first, second;

  Matrix(int64_t n, uint64_t seed)
      : m(random({n, n}, seed)),
        c(random({n, n}, seed + 1)),
        p(random({n, n}, seed + 2)),
        first(random({n, n}, seed + 3)),
        second(random({n, n}, seed + 4, 0.1)) {}

  MatrixUpdate update(MatrixForm form, Kind kind) {
    return {.form = form,
            .matrix = &m,
            .correlation = &c,
            .p = &p,
            .factor = -0.375,
            .rule = {.kind = kind,
                     .lr = 0.5,
                     .decay = 0.25,
                     .momentum = 0.75,
                     .adam = adam,
                     .squares = squares,
                     .first = kind == Kind::plain ? nullptr : &first,
                     .second = has_second(kind) ? &second : nullptr}};
  }
};

}  // namespace

TEST_CASE("matrices learn and make P as in the reference, for every form and rule, many at once") {
  for (const Kind kind : kinds)
    for (const MatrixForm form :
         {MatrixForm::product, MatrixForm::product_plus, MatrixForm::symmetric, MatrixForm::plain}) {
      CAPTURE(static_cast<int>(kind));
      CAPTURE(static_cast<int>(form));
      std::vector<Matrix> ours, expected;
      std::vector<MatrixUpdate> device, reference;
      for (int i = 0; i < 70; ++i)
        for (std::vector<Matrix>* matrices : {&ours, &expected})
          matrices->emplace_back(i % 7 == 0 ? 1 : i % 7 == 1 ? 70 : 9, static_cast<uint64_t>(10 * i));
      for (Matrix& matrix : ours) device.push_back(matrix.update(form, kind));
      for (Matrix& matrix : expected) reference.push_back(matrix.update(form, kind));
      kernels::update_matrices(device);
      ref::update_matrices(reference);
      for (size_t i = 0; i < ours.size(); ++i) {
        // h is a sum of n products below 2, rounded at most n + 3 times each; Adam divides it by sqrt(0.1 0.95) or
        // more, and P is a sum of n products of such elements, of which two may be off.
        const auto n = static_cast<double>(ours[i].m.size(0));
        const double h = 0.375 * (n + 3) * 2 * n * float_epsilon, m = 16 * h + 16 * float_epsilon;
        double largest = 1;
        for (const float x : bits_of(expected[i].m)) largest = std::max(largest, std::abs(static_cast<double>(x)));
        check_within(ours[i].m, expected[i].m, [&](size_t) { return m * largest; });
        check_within(ours[i].first, expected[i].first, [&](size_t) { return m * largest; });
        check_within(ours[i].p, expected[i].p,
                     [&](size_t) { return 2 * n * largest * largest * (m + (n + 2) * float_epsilon); });
      }
    }
}

TEST_CASE("matrices whose P has a given norm learn as in the reference, through the norm or not") {
  for (const MatrixForm form :
       {MatrixForm::product, MatrixForm::product_plus, MatrixForm::symmetric, MatrixForm::plain})
    for (const bool through : {false, true})
      for (const int64_t n : {9, 70}) {
        CAPTURE(static_cast<int>(form));
        CAPTURE(through);
        CAPTURE(n);
        Matrix ours(n, 1), expected(n, 1);
        MatrixUpdate device = ours.update(form, Kind::momentum), reference = expected.update(form, Kind::momentum);
        for (MatrixUpdate* u : {&device, &reference}) u->norm = 3, u->differentiate_norm = through;
        kernels::update_matrices({&device, 1});
        ref::update_matrices({&reference, 1});
        // As above; |Q| is a few times the norm or more, so scaling enlarges nothing.
        const auto count = static_cast<double>(n);
        const double bound = 8 * count * (count + 3) * float_epsilon;
        check_within(ours.m, expected.m, [&](size_t) { return bound; });
        check_within(ours.p, expected.p, [&](size_t) { return 2 * bound; });
        CHECK(norm(ours.p) == doctest::Approx(3).epsilon(1e-5));
      }
}

TEST_CASE("a matrix whose P nobody asks for learns alike") {
  Matrix with(9, 1), without(9, 1);
  MatrixUpdate updates[] = {with.update(MatrixForm::product, Kind::adam),
                            without.update(MatrixForm::product, Kind::adam)};
  updates[1].p = nullptr;
  update_matrices_(updates);
  CHECK(bits_of(with.m) == bits_of(without.m));
  CHECK(bits_of(without.p) == bits_of(Matrix(9, 1).p));
}

TEST_CASE("matrices learn from the correlations of the same call") {
  struct Pair {
    Subject parameter;
    Matrix matrix;
  };
  // Correlations from several parts, of several threads to an element, of more elements than a block has threads, and
  // one that no matrix asks for.
  const auto make = [] {
    std::vector<Pair> all;
    uint64_t seed = 0;
    for (const auto& [rows, n] : {std::pair{3600, 9}, {1, 9}, {300, 2}, {700, 1}, {90, 25}, {300, 9}})
      all.push_back({Subject({rows, n}, n, Memory::contiguous, ++seed), Matrix(n, seed += 20)});
    return all;
  };
  const auto updates = [](std::vector<Pair>& all) {
    std::pair<std::vector<ParameterUpdate>, std::vector<MatrixUpdate>> out;
    for (Pair& pair : all) out.first.push_back(pair.parameter.update(Kind::momentum, Form::rows, false, true));
    for (size_t i = 0; i + 1 < all.size(); ++i) {
      MatrixUpdate& u = out.second.emplace_back(all[i].matrix.update(MatrixForm::product, Kind::momentum));
      u.correlation = &all[i].parameter.correlation;
      u.factor = -1e-3;
    }
    return out;
  };
  std::vector<Pair> together = make(), expected = make();
  const auto [parameters, matrices] = updates(together);
  const auto [reference_parameters, reference_matrices] = updates(expected);
  update_(parameters, matrices);
  ref::update(reference_parameters, reference_matrices);
  for (size_t i = 0; i < together.size(); ++i) {
    CAPTURE(i);
    const Tensor &c = together[i].parameter.correlation, &right = expected[i].parameter.correlation;
    const auto rows = static_cast<double>(together[i].parameter.value.size(0)), n = static_cast<double>(c.size(0));
    const double off = (1024 / n + 4) * rows * float_epsilon;  // as in compare()
    check_within(c, right, [&](size_t) { return off; });
    check_within(together[i].parameter.value, expected[i].parameter.value,
                 [&](size_t) { return ((n + 2) * n + 12 * 8) * float_epsilon; });
    // M moves by lr factor (C + C^T) M, whose n products are below 2 |C|; P has n products of its elements.
    const double m = 0.5e-3 * 2 * n * (off + 2 * rows * (n + 3) * float_epsilon) + 16 * float_epsilon;
    double largest = 1;
    for (const float x : bits_of(expected[i].matrix.m)) largest = std::max(largest, std::abs(static_cast<double>(x)));
    check_within(together[i].matrix.m, expected[i].matrix.m, [&](size_t) { return m * largest; });
    check_within(together[i].matrix.p, expected[i].matrix.p,
                 [&](size_t) { return 2 * n * largest * largest * (m + (n + 2) * float_epsilon); });
  }
}

TEST_CASE("matrices that do not fit are refused, and versions of what is written go up") {
  Matrix matrix(4, 1);
  Tensor small = Tensor::zeros({3, 3}), wide = Tensor::zeros({2, 8}), doubles = Tensor::zeros({4, 4}, DType::float64);
  const auto refused = [&](const MatrixUpdate& update, const char* message) {
    CHECK_THROWS_WITH_AS(update_matrices_({&update, 1}), message, Error);
  };
  refused({.matrix = &matrix.m}, "[update_matrices_] needs a matrix and its correlation");
  refused({.matrix = &matrix.m, .correlation = &wide},
          "[update_matrices_] the correlation needs shape [2,2], got [2,8]");
  refused({.matrix = &small, .correlation = &matrix.c},
          "[update_matrices_] all must be contiguous and have the 16 elements of the correlation, but one is [3,3]");
  refused({.matrix = &matrix.m, .correlation = &matrix.c, .rule = {.kind = Kind::adam}},
          "[update_] a rule lacks the state that it needs");
  const MatrixUpdate mixed{.matrix = &matrix.m, .correlation = &matrix.c, .p = &doubles};
  CHECK_THROWS_AS(update_matrices_({&mixed, 1}), Error);
  const uint64_t m = matrix.m.version(), p = matrix.p.version();
  const MatrixUpdate one[] = {matrix.update(MatrixForm::plain, Kind::plain)};
  update_matrices_(one);
  CHECK(matrix.m.version() == m + 1);
  CHECK(matrix.p.version() == p + 1);
}
