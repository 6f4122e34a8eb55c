// The iteration counts of the paper's Figure 1 and of every variant of its method on the same two functions: exact
// regression targets, which were computed independently in float64 (spec: stability facts of the toy problems).
#include <doctest/doctest.h>

#include <cmath>

#include "apps/reproduce/toy.h"
#include "core/ops.h"

using namespace gradus;
using namespace gradus::optim;
using reproduce::toys;

namespace {

constexpr int64_t diverges = -1;
using Counts = std::array<int64_t, 2>;  ///< Booth, Himmelblau
using Edit = std::function<void(Optimizer&)>;

Counts counts(DType dtype, const AnyPreconditioner& preconditioner, const Edit& edit = {}) {
  Counts result;
  for (size_t i = 0; i < 2; ++i) {
    const Parameter theta = reproduce::toy_parameter(toys[i], dtype);
    Optimizer optimizer = over({theta}).rule(Sgd{.lr = toys[i].lr}).precondition(preconditioner).build();
    if (edit) edit(optimizer);
    result[i] = reproduce::descend(toys[i], theta, optimizer).iterations;
  }
  return result;
}

/// One row of the table: the variant at hyper learning rates 0.001, 0.005, 0.01 and 0.025.
using Variant = std::function<AnyPreconditioner(double rho)>;
void check_row(DType dtype, const Variant& variant, const std::array<Counts, 4>& expected, const Edit& edit = {}) {
  const double rhos[] = {0.001, 0.005, 0.01, 0.025};
  for (size_t i = 0; i < 4; ++i) {
    CAPTURE(rhos[i]);
    CHECK(counts(dtype, variant(rhos[i]), edit) == expected[i]);
  }
}

Fop factor(double rho) { return {.hyper = Sgd{.lr = rho}, .form = Fop::Form::factor}; }
// The paper's P += rho eps (C + C^T) has twice the gradient of P = (A + A^T) / 2.
Fop direct(double rho) { return {.hyper = Sgd{.lr = 2 * rho}, .form = Fop::Form::direct}; }
Fop fop_norm(double rho, Fop::Norm norm) { return {.hyper = Sgd{.lr = rho}, .form = Fop::Form::factor, .norm = norm}; }

/// FOP's P = M M^T with a wrong hypergradient: equation 10 as the only public program has it, or as it is printed.
class Equation10 final : public Preconditioner {
 public:
  explicit Equation10(bool printed) : printed_(printed) {}
  Tensor initial() const override { return Tensor::eye(2, DType::float64); }
  Tensor apply(const Tensor& m, const Tensor& x, const StepInfo&) const override {
    return matmul(matmul(x, m), transpose(m, 0, 1));
  }
  Tensor gradient(const Tensor& m, const Tensor& g, const Tensor& x, const StepInfo&) const override {
    const Tensor c = matmul(transpose(g, 0, 1), x), ct = transpose(c, 0, 1);
    return printed_ ? c - matmul(ct, m) : matmul(c - ct, m);
  }

 private:
  bool printed_;
};
struct WrongFop {
  AnyRule hyper = Sgd{};
  bool printed = false;
  Learning learning = {};
  static constexpr const char* name = "wrong-fop";
  std::unique_ptr<Preconditioner> make(const Site&) const { return std::make_unique<Equation10>(printed); }
};

}  // namespace

TEST_CASE("gradient descent and Adam need the published iterations, and Adam ends in another minimum") {
  for (DType dtype : {DType::float32, DType::float64}) {
    CAPTURE(dtype);
    CHECK(counts(dtype, NoPreconditioner{}) == Counts{832, 386});
    for (const auto& toy : toys) {
      const Parameter theta = reproduce::toy_parameter(toy, dtype);
      Optimizer optimizer = over({theta}).rule(Adam{.lr = toy.lr}).build();
      const auto descent = reproduce::descend(toy, theta, optimizer);
      const bool booth = &toy == &toys[0];
      CHECK(descent.iterations == (booth ? 6221 : dtype == DType::float32 ? 5398 : 5397));
      CHECK(descent.end[0] == doctest::Approx(booth ? 1 : 3).epsilon(1e-3));
      CHECK(descent.end[1] == doctest::Approx(booth ? 3 : 2).epsilon(1e-3));
    }
  }
}

TEST_CASE("FOP takes the iterations of an independent program, and diverges on Booth at the largest rate") {
  check_row(DType::float64, factor, {{{782, 368}, {650, 326}, {536, 290}, {diverges, 223}}});
  check_row(DType::float32, factor, {{{782, 368}, {650, 327}, {536, 291}, {diverges, 223}}});
}

TEST_CASE("FOP learned directly gives the published 543 and 289") {
  for (DType dtype : {DType::float32, DType::float64})
    check_row(dtype, direct, {{{805, 377}, {734, 353}, {668, 332}, {543, 289}}});
}

TEST_CASE("FOP-norm differentiated through the norm takes the iterations of an independent program") {
  const Variant variant = [](double rho) { return fop_norm(rho, Fop::Norm::through); };
  check_row(DType::float64, variant, {{{1274, 492}, {1898, 752}, {1825, 788}, {2158, 603}}});
  check_row(DType::float32, variant, {{{1274, 492}, {1898, 753}, {1825, 788}, {2158, 603}}});
}

TEST_CASE("FOP-norm with the norm held constant takes the iterations of an independent program") {
  const Variant variant = [](double rho) { return fop_norm(rho, Fop::Norm::constant); };
  check_row(DType::float64, variant, {{{1488, 523}, {3266, 1495}, {2219, 1691}, {1334, 1379}}});
  check_row(DType::float32, variant, {{{1488, 523}, {3268, 1495}, {2219, 1691}, {1334, 1379}}});
}

TEST_CASE("S-HD takes the iterations of an independent program, as a scale and as a square") {
  for (DType dtype : {DType::float32, DType::float64}) {
    check_row(dtype, [](double rho) { return SHd{.hyper = Sgd{.lr = rho}}; },
              {{{658, 337}, {404, 246}, {293, 198}, {177, 142}}});
    check_row(dtype, [](double rho) { return SHd{.hyper = Sgd{.lr = rho}, .form = SHd::Form::positive}; },
              {{{367, 241}, {82, 107}, {45, 69}, {diverges, 47}}});
  }
}

TEST_CASE("PP-HD takes the iterations of an independent program, plain and as a square") {
  for (DType dtype : {DType::float32, DType::float64}) {
    check_row(dtype, [](double rho) { return PpHd{.hyper = Sgd{.lr = rho}}; },
              {{{730, 380}, {524, 365}, {408, 351}, {266, 321}}});
    check_row(dtype, [](double rho) { return PpHd{.hyper = Sgd{.lr = rho}, .positive = true}; },
              {{{519, 367}, {189, 324}, {91, 289}, {diverges, 227}}});
  }
}

TEST_CASE("FOP of rank one takes the iterations of an independent program from a given M") {
  const Edit start = [](Optimizer& optimizer) {
    Tensor m = optimizer.state().at("theta/fop.identity_plus");
    copy_(m, Tensor::from<double>({0.1, -0.05}, {2, 1}));
  };
  check_row(
      DType::float64, [](double rho) { return Fop{.hyper = Sgd{.lr = rho}, .rank = 1}; },
      {{{823, 381}, {831, 375}, {821, 365}, {786, 357}}}, start);
}

TEST_CASE("equation 10 with its parentheses lost learns nothing") {
  check_row(DType::float64, [](double rho) { return WrongFop{.hyper = Sgd{.lr = rho}}; },
            {{{832, 386}, {832, 386}, {832, 386}, {831, 386}}});
  check_row(DType::float64, [](double rho) { return WrongFop{.hyper = Sgd{.lr = rho}, .printed = true}; },
            {{{831, 386}, {829, 386}, {825, 385}, {811, 383}}});
}

TEST_CASE("after 100 steps on Booth P is far from the identity, and the wrong rule's is not") {
  const auto distance = [](const AnyPreconditioner& preconditioner, const char* slot) {
    const Parameter theta = reproduce::toy_parameter(toys[0], DType::float64);
    Optimizer optimizer = over({theta}).rule(Sgd{.lr = toys[0].lr}).precondition(preconditioner).build();
    reproduce::descend(toys[0], theta, optimizer, 99);
    REQUIRE(optimizer.steps() == 100);
    const Tensor m = optimizer.state().at(slot);
    return norm(matmul(m, transpose(m, 0, 1)) - Tensor::eye(2, DType::float64));
  };
  // The published figures have three or four digits.
  CHECK(distance(factor(0.01), "theta/fop.factor") == doctest::Approx(17.44).epsilon(5e-4));
  CHECK(distance(factor(0.001), "theta/fop.factor") == doctest::Approx(1.228).epsilon(5e-4));
  const auto wrong = [](double rho) { return WrongFop{.hyper = Sgd{.lr = rho}}; };
  CHECK(distance(wrong(0.01), "theta/wrong-fop.learned") == doctest::Approx(8.97e-5).epsilon(1e-3).scale(0));
  CHECK(distance(wrong(0.001), "theta/wrong-fop.learned") == doctest::Approx(8.97e-7).epsilon(1e-3).scale(0));
}

TEST_CASE("with Adam as the inner rule FOP and S-HD take the iterations of an independent program") {
  const auto form = [](double lr, Fop::Form form) { return Fop{.hyper = Adam{.lr = lr}, .form = form}; };
  CHECK(counts(DType::float64, form(1e-4, Fop::Form::factor)) == Counts{831, 377});
  CHECK(counts(DType::float64, form(1e-3, Fop::Form::factor)) == Counts{828, 319});
  CHECK(counts(DType::float64, form(1e-4, Fop::Form::direct)) == Counts{831, 381});
  CHECK(counts(DType::float64, form(1e-3, Fop::Form::direct)) == Counts{830, 347});
  CHECK(counts(DType::float64, SHd{.hyper = Adam{.lr = 1e-4}}) == Counts{830, 382});
  CHECK(counts(DType::float64, SHd{.hyper = Adam{.lr = 1e-3}}) == Counts{815, 354});
}

TEST_CASE("M first is stable further than theta first") {
  const std::pair<double, Counts> first[] = {
      {0.01, {540, 289}}, {0.012, {504, 277}}, {0.015, {459, 262}}, {0.02, {403, 240}}};
  for (const auto& row : first) {
    CAPTURE(row.first);
    Fop fop = factor(row.first);
    fop.learning.update_first = true;
    CHECK(counts(DType::float64, fop) == row.second);
  }
  CHECK(counts(DType::float64, factor(0.012)) == Counts{914, 279});
  CHECK(counts(DType::float64, factor(0.015))[0] == diverges);
}

TEST_CASE("the exact hypergradient uses the M that made the point") {
  Fop fop = factor(0.01);
  fop.learning.exact = true;
  CHECK(counts(DType::float64, fop) == Counts{539, 291});
}
