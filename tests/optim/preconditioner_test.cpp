// The mathematics of every preconditioner: hypergradients against finite differences, and the identities between forms.
#include "optim/preconditioner.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops.h"
#include "core/error.h"
#include "core/linalg.h"
#include "optim/optimizer.h"

using namespace gradus;
using namespace gradus::optim;

namespace {

Tensor noise(const Shape& shape, uint64_t seed, double std = 1) {
  return random_normal(shape, 0, std, {.seed = seed}, DType::float64);
}

const ParamInfo conv_info{"conv.weight", LayerKind::conv, ParamRole::weight, 4, 2, {2, 3}};
const Shape conv_shape{4, 2, 2, 3};
const ParamInfo conv_transpose_info{"up.weight", LayerKind::conv_transpose, ParamRole::weight, 4, 2, {2, 3}};
const Shape conv_transpose_shape{2, 4, 2, 3};
const ParamInfo linear_info{"fc.weight", LayerKind::linear, ParamRole::weight, 3, 5};
const Shape linear_shape{3, 5};

/// A smooth curved of a weight of any shape, with a curved and coupled gradient.
Var curved(const Var& w) { return sum(sin(w * 1.3) + square(w) * 0.2) + square(sum(w * noise(w.shape(), 77))) * 0.1; }
Tensor slope(const Tensor& w) {
  const Var leaf = Var::leaf(w);
  return grad(curved(leaf), leaf).value();
}

double relative(const Tensor& a, const Tensor& b) { return norm(a - b) / norm(b); }

/// One step theta(t) = theta(t-1) - eps P(m) g(t-1): compares dJ(theta(t))/dm = -eps gradient(m, g(t), g(t-1)) with
/// central differences of J, at a point m away from where learning starts. Returns the relative error.
double hypergradient_error(const Preconditioner& p, const Shape& shape) {
  const StepInfo at{3, 0.07};
  const Tensor before = noise(shape, 1), g = slope(before);
  Tensor m = p.initial();
  add_(m, noise(m.shape(), 2, 0.3));
  const auto after = [&](const Tensor& m_now) { return before - p.apply(m_now, g, at) * at.lr; };
  const Tensor analytic = p.gradient(m, slope(after(m)), g, at) * -at.lr;

  std::vector<double> values = m.to_vector<double>(), differences;
  const double h = 1e-5;
  for (double& value : values) {
    const double original = value;
    value = original + h;
    const double high = curved(after(Tensor::from(values, m.shape()))).item();
    value = original - h;
    const double low = curved(after(Tensor::from(values, m.shape()))).item();
    value = original;
    differences.push_back((high - low) / (2 * h));
  }
  return relative(analytic, Tensor::from(differences, m.shape()));
}

template <class Options>
double hypergradient_error(const Options& options, const ParamInfo& info, const Shape& shape) {
  const Tensor value = Tensor::zeros(shape, DType::float64);
  return hypergradient_error(*options.make({info, value, 0.07}), shape);
}

/// Central differences of a function near 1 with h = 1e-5: truncation 1e-10, rounding 1e-11.
constexpr double difference_tolerance = 1e-6;

}  // namespace

TEST_CASE("hypergradients of every form of FOP are derivatives of the next loss") {
  using Form = Fop::Form;
  using Norm = Fop::Norm;
  for (Form form : {Form::factor, Form::identity_plus, Form::direct, Form::direct_unsymmetric})
    for (Norm norm : {Norm::off, Norm::through}) {
      CAPTURE(static_cast<int>(form));
      CAPTURE(static_cast<int>(norm));
      const Fop fop{.form = form, .norm = norm};
      CHECK(hypergradient_error(fop, conv_info, conv_shape) < difference_tolerance);
      CHECK(hypergradient_error(fop, linear_info, linear_shape) < difference_tolerance);
      CHECK(hypergradient_error(fop, conv_transpose_info, conv_transpose_shape) < difference_tolerance);
    }
  for (Form form : {Form::factor, Form::identity_plus, Form::direct}) {
    CAPTURE(static_cast<int>(form));
    const Fop fop{.form = form, .rescale = Fop::Rescale{.limit = 0.8, .power = 0.5, .through = true}};
    CHECK(hypergradient_error(fop, conv_info, conv_shape) < difference_tolerance);
    CHECK(hypergradient_error(fop, linear_info, linear_shape) < difference_tolerance);
  }
}

TEST_CASE("hypergradients of low rank are derivatives of the next loss") {
  for (int64_t rank : {1, 2, 5})
    for (Fop::Norm norm : {Fop::Norm::off, Fop::Norm::through}) {
      CAPTURE(rank);
      CHECK(hypergradient_error(Fop{.norm = norm, .rank = rank}, linear_info, linear_shape) < difference_tolerance);
    }
}

TEST_CASE("hypergradients of S-HD and PP-HD are derivatives of the next loss") {
  for (SHd::Form form : {SHd::Form::scale, SHd::Form::positive, SHd::Form::baydin})
    CHECK(hypergradient_error(SHd{.form = form}, conv_info, conv_shape) < difference_tolerance);
  for (bool positive : {false, true})
    CHECK(hypergradient_error(PpHd{.positive = positive}, conv_info, conv_shape) < difference_tolerance);
}

TEST_CASE("the hypergradient is symmetric where equation 10, with its parentheses lost, is antisymmetric") {
  const Tensor g = noise(conv_shape, 1), x = noise(conv_shape, 2);
  const auto p = Fop{}.make({conv_info, g});
  const Tensor right = p->gradient(p->initial(), g, x, {});
  const Tensor c = matmul(transpose(reshape(g, {8, 6}), 0, 1), reshape(x, {8, 6}));
  const Tensor wrong = c - transpose(c, 0, 1);
  CHECK(relative(right, c + transpose(c, 0, 1)) < 1e-14);
  CHECK(std::abs(dot(wrong, right)) < 1e-12 * norm(wrong) * norm(right));  // at M = I they are orthogonal
}

TEST_CASE("with the norm or the scale held constant the hypergradient is that of Q") {
  const Tensor value = Tensor::zeros(conv_shape, DType::float64), g = noise(conv_shape, 1), x = noise(conv_shape, 2);
  const auto plain = Fop{}.make({conv_info, value});
  const auto constant = Fop{.norm = Fop::Norm::constant}.make({conv_info, value});
  const auto rescaled = Fop{.rescale = Fop::Rescale{.limit = 0.5}}.make({conv_info, value});
  const Tensor m = plain->initial() + noise({6, 6}, 3, 0.2);
  const StepInfo at{2, 0.1};
  const Tensor h = plain->gradient(m, g, x, at);
  CHECK(relative(constant->gradient(m, g, x, at), h) == 0);
  const double spectral = select(symmetric_eigen(plain->matrix(m, at)).values, 0, 5).item();
  const double k = 0.25 + 0.75 * 0.5 / spectral;  // delta(2) = 1/4
  CHECK(relative(rescaled->gradient(m, g, x, at), h * k) < 1e-12);
}

TEST_CASE("FOP-norm keeps |P|_F at sqrt(n), and its hypergradient does not change the scale of M") {
  const Tensor g = noise(conv_shape, 1), x = noise(conv_shape, 2);
  const auto p = Fop{.norm = Fop::Norm::through}.make({conv_info, Tensor::zeros(conv_shape, DType::float64)});
  for (double scale : {0.1, 1.0, 30.0}) {
    const Tensor m = (p->initial() + noise({6, 6}, 3, 0.4)) * scale;
    CHECK(norm(p->matrix(m, {})) == doctest::Approx(std::sqrt(6)).epsilon(1e-12));
    const Tensor h = p->gradient(m, g, x, {});
    CHECK(std::abs(dot(h, m)) < 1e-12 * norm(h) * norm(m));
  }
  const auto low =
      Fop{.norm = Fop::Norm::through, .rank = 2}.make({linear_info, Tensor::zeros(linear_shape, DType::float64)});
  CHECK(norm(low->matrix(low->initial() * 50.0, {})) == doctest::Approx(std::sqrt(5)).epsilon(1e-12));
}

TEST_CASE("rescaled FOP has spectral norm gamma(t)") {
  const Fop::Rescale rescale{.limit = 0.6, .power = 2};
  const Tensor value = Tensor::zeros(conv_shape, DType::float64);
  for (Fop::Form form : {Fop::Form::factor, Fop::Form::identity_plus}) {
    const auto plain = Fop{.form = form}.make({conv_info, value});
    const auto p = Fop{.form = form, .rescale = rescale}.make({conv_info, value});
    Tensor m = plain->initial();
    add_(m, noise(m.shape(), 3, 0.4));
    for (int64_t t : {1, 2, 10}) {
      const double q = select(symmetric_eigen(plain->matrix(m, {})).values, 0, 5).item();
      const double delta = 1.0 / static_cast<double>(t * t), gamma = delta * q + (1 - delta) * 0.6;
      CHECK(select(symmetric_eigen(p->matrix(m, {t, 0})).values, 0, 5).item() == doctest::Approx(gamma).epsilon(1e-12));
      CHECK(select(p->eigenvalues(m, {t, 0}), 0, 5).item() == doctest::Approx(gamma).epsilon(1e-12));
    }
  }
}

TEST_CASE("low rank with full rank is I + M M^T, and M = 0 never learns") {
  const Tensor value = Tensor::zeros(linear_shape, DType::float64), g = noise(linear_shape, 1),
               x = noise(linear_shape, 2);
  const auto p = Fop{.init_gain = 1}.make({linear_info, value});
  const Tensor m = p->initial();
  REQUIRE(m.shape() == Shape{5, 5});
  const Tensor q = Tensor::eye(5, DType::float64) + matmul(m, transpose(m, 0, 1));
  CHECK(relative(p->apply(m, x, {}), matmul(x, q)) < 1e-14);
  const Tensor c = matmul(transpose(g, 0, 1), x);
  CHECK(relative(p->gradient(m, g, x, {}), matmul(c + transpose(c, 0, 1), m)) < 1e-13);
  CHECK(relative(p->eigenvalues(m, {}), symmetric_eigen(q).values) < 1e-13);
  CHECK(norm(p->gradient(Tensor::zeros({5, 5}, DType::float64), g, x, {})) == 0);
}

TEST_CASE("eigenvalues of low rank are those of the matrix") {
  const auto p = Fop{.rank = 2, .init_gain = 1}.make({linear_info, Tensor::zeros(linear_shape, DType::float64)});
  const Tensor m = p->initial();
  CHECK(relative(p->eigenvalues(m, {}), symmetric_eigen(p->matrix(m, {})).values) < 1e-13);
}

TEST_CASE("the memory order of a kernel does not matter: OIHW, OHWI and HWIO give the same P") {
  const Tensor g = noise(conv_shape, 1), x = noise(conv_shape, 2);
  const auto ohwi = [](const Tensor& t) { return contiguous(t, Layout::channels_last); };
  const auto hwio = [](const Tensor& t) { return permute(contiguous(permute(t, {2, 3, 1, 0})), {3, 2, 0, 1}); };
  REQUIRE_FALSE(hwio(g).strides() == g.strides());
  const auto p = Fop{}.make({conv_info, g});
  const Tensor m = p->initial() + noise({6, 6}, 3, 0.2);
  for (const auto& order : {std::function<Tensor(const Tensor&)>(ohwi), std::function<Tensor(const Tensor&)>(hwio)}) {
    CHECK(relative(p->apply(m, order(x), {}), p->apply(m, x, {})) < 1e-14);
    CHECK(relative(p->gradient(m, order(g), order(x), {}), p->gradient(m, g, x, {})) < 1e-14);
  }
  // By hand: u[o,i,a] = sum over b of x[o,i,b] P[b,a].
  const Tensor expected = reshape(matmul(reshape(x, {8, 6}), matmul(m, transpose(m, 0, 1))), conv_shape);
  CHECK(relative(p->apply(m, x, {}), expected) < 1e-14);
}

TEST_CASE("FOP on a 1x1 convolution is S-HD with a square") {
  const auto train = [](const AnyPreconditioner& preconditioner) {
    Parameter w(noise({3, 4, 1, 1}, 1), {"w", LayerKind::conv, ParamRole::weight, 3, 4});
    Optimizer optimizer = over({w}).rule(Sgd{.lr = 0.05, .momentum = 0.5}).precondition(preconditioner).build();
    for (int i = 0; i < 20; ++i) {
      optimizer.zero_grad();
      curved(w).backward();
      optimizer.step();
    }
    return w.value();
  };
  const AnyRule hyper = Sgd{.lr = 0.3};
  const Tensor fop = train(Fop{.hyper = hyper});
  CHECK(relative(fop, train(SHd{.hyper = hyper, .form = SHd::Form::positive})) < 1e-12);
  CHECK(relative(fop, train(NoPreconditioner{})) > 1e-3);
}

TEST_CASE("a large random start turns gradients by 42 degrees") {
  // P = I + M M^T with entries of M of standard deviation 3 / sqrt(n) (a = 9): arccos(10 / sqrt(181)) = 41.99.
  Parameter w(noise({100, 100}, 1), {"w", LayerKind::linear, ParamRole::weight, 100, 100});
  Optimizer optimizer = over({w}).rule(Sgd{}).precondition(Fop{.init_gain = 3}).build();
  w.set_grad(noise({100, 100}, 2));
  const PreconditionerReport report = optimizer.diagnostics().at(0);
  CHECK(std::abs(report.angle_degrees - 42.0) < 1.5);
}

TEST_CASE("ranks are full up to max_dim and low above, unless given") {
  const auto columns = [](int64_t inputs, Fop fop) {
    const ParamInfo info{"w", LayerKind::linear, ParamRole::weight, 2, inputs};
    return fop.make({info, Tensor::zeros({2, inputs})})->initial().size(1);
  };
  CHECK(columns(1024, {}) == 1024);
  CHECK(columns(1025, {}) == 25);
  CHECK(columns(784, {.rank = 4}) == 4);
  CHECK(columns(3, {.rank = 4}) == 3);
  CHECK(columns(100, {.max_dim = 50, .large_rank = 7}) == 7);
}

TEST_CASE("only weights of convolutions and linear layers get a matrix") {
  const auto made = [](const auto& options, LayerKind layer, ParamRole role, const Shape& shape) {
    const ParamInfo info{"p", layer, role, shape[0], shape.rank() > 1 ? shape[1] : 1};
    return options.make({info, Tensor::zeros(shape), 0.1}) != nullptr;
  };
  CHECK(made(Fop{}, LayerKind::linear, ParamRole::weight, {3, 4}));
  CHECK(made(Fop{}, LayerKind::conv, ParamRole::weight, {3, 4, 1, 1}));
  CHECK(made(Fop{}, LayerKind::conv_transpose, ParamRole::weight, {3, 4, 1, 1}));
  CHECK_FALSE(made(Fop{}, LayerKind::linear, ParamRole::bias, {3}));
  CHECK_FALSE(made(Fop{}, LayerKind::norm, ParamRole::weight, {3}));
  CHECK_FALSE(made(Fop{}, LayerKind::embedding, ParamRole::weight, {3, 4}));
  CHECK(made(SHd{}, LayerKind::embedding, ParamRole::weight, {3, 4}));
  CHECK_FALSE(made(SHd{}, LayerKind::linear, ParamRole::bias, {3}));
  CHECK_FALSE(made(PpHd{}, LayerKind::norm, ParamRole::scale, {3}));
}

namespace {

/// A preconditioner of one's own that breaks one rule of the contract.
struct Careless {
  enum class Fault { none, undefined_start, shared_start, writes, wrong_gradient };
  static constexpr const char* name = "careless";
  Fault fault = Fault::none;
  Tensor start = Tensor::ones({2}, DType::float64);
  AnyRule hyper = Sgd{.lr = 0.5};
  Learning learning = {};

  std::unique_ptr<Preconditioner> make(const Site&) const {
    class Own final : public Preconditioner {
     public:
      explicit Own(const Careless& options) : options_(options) {}
      Tensor initial() const override { return options_.fault == Fault::undefined_start ? Tensor() : options_.start; }
      Tensor apply(const Tensor& m, const Tensor& x, const StepInfo&) const override {
        if (options_.fault != Fault::writes) return x * m;
        Tensor same = x;
        scale_(same, 2);
        return same;
      }
      Tensor gradient(const Tensor&, const Tensor& g, const Tensor& x, const StepInfo&) const override {
        return options_.fault == Fault::wrong_gradient ? sum(g * x) : g * x;
      }

     private:
      Careless options_;
    };
    return std::make_unique<Own>(*this);
  }
};

}  // namespace

TEST_CASE("a preconditioner of one's own that does not keep to its contract is named") {
  using Fault = Careless::Fault;
  const auto after_two_steps = [](Fault fault) {
    const Parameter a(Tensor::ones({2}, DType::float64), {.name = "a"}), b(clone(a.value()), {.name = "b"});
    Optimizer optimizer = over({a, b}).rule(Sgd{.lr = 1}).precondition(Careless{fault}).build();
    for (int step = 0; step < 3; ++step) {
      a.set_grad(Tensor::full({2}, 1, DType::float64));
      b.set_grad(Tensor::full({2}, 2, DType::float64));
      optimizer.step();
    }
    return a.value().to_vector<double>()[0];
  };
  // m of a has a memory of its own: 1, 1 + 0.5, then 1 + 1 in the step after.
  CHECK(after_two_steps(Fault::none) == 1 - 1 - 1 - 1.5);
  CHECK(after_two_steps(Fault::shared_start) == 1 - 1 - 1 - 1.5);
  const auto refused = [&](Fault fault, const char* message) {
    CHECK_THROWS_WITH_AS(after_two_steps(fault), doctest::Contains(message), Error);
  };
  refused(Fault::undefined_start,
          "initial() of preconditioner 'careless' must make a floating tensor, but made an "
          "undefined one");
  refused(Fault::writes, "apply() of preconditioner 'careless' wrote to x");
  refused(Fault::wrong_gradient,
          "gradient() of preconditioner 'careless' must be shaped like its m, float64 [2], but is "
          "float64 []");
  for (const ActsOn acts_on : {ActsOn::gradient, ActsOn::direction}) {
    const Parameter a(Tensor::ones({2}), {.name = "a"});
    const Careless grows{.start = Tensor::ones({3, 2}), .learning = {.acts_on = acts_on}};
    Optimizer optimizer = over({a}).rule(Sgd{}).precondition(grows).build();
    a.set_grad(Tensor::ones({2}));
    CHECK_THROWS_WITH_AS(
        optimizer.step(),
        "[optimizer] preconditioner 'careless' made a tensor [3,2] of the gradient of 'a', which is [2]", Error);
    CHECK(a.value().to_vector<float>() == std::vector<float>{1, 1});
  }
}

TEST_CASE("hypergradients may be divided by the sizes of their two gradients, or by that of the first squared") {
  // |g(1)| = 5, |g(2)| = 10, <g(2), g(1)> = 48; s = 1 + rho eps <g(2), g(1)> over the sizes.
  const auto learned = [](Learning learning, const std::vector<double>& second) {
    Parameter w(Tensor::zeros({1, 2}, DType::float64), {"w", LayerKind::linear, ParamRole::weight, 1, 2});
    Optimizer optimizer =
        over({w}).rule(Sgd{.lr = 0.5}).precondition(SHd{.hyper = Sgd{.lr = 0.25}, .learning = learning}).build();
    for (const std::vector<double>& g : {std::vector<double>{3, 4}, second}) {
      w.set_grad(Tensor::from<double>(g, {1, 2}));
      optimizer.step();
    }
    return optimizer.state().at("w/s-hd.scale").item();
  };
  using N = HyperNormalization;
  for (const ActsOn acts_on : {ActsOn::gradient, ActsOn::direction}) {
    const auto with = [&](N normalization) { return Learning{.acts_on = acts_on, .normalization = normalization}; };
    CHECK(learned(with(N::none), {8, 6}) == doctest::Approx(1 + 0.125 * 48).epsilon(1e-14));
    CHECK(learned(with(N::cosine), {8, 6}) == doctest::Approx(1 + 0.125 * 48 / 50).epsilon(1e-14));
    CHECK(learned(with(N::previous), {8, 6}) == doctest::Approx(1 + 0.125 * 48 / 25).epsilon(1e-14));
    for (const N normalization : {N::cosine, N::previous}) CHECK(learned(with(normalization), {0, 0}) == 1);
  }
}

TEST_CASE("with the cosine FOP learns the same from gradients of every size") {
  for (const Fop::Form form : {Fop::Form::factor, Fop::Form::direct, Fop::Form::identity_plus}) {
    const auto learned = [&](double size, HyperNormalization normalization) {
      Parameter w(Tensor::zeros({4, 3}, DType::float64), {"w", LayerKind::linear, ParamRole::weight, 4, 3});
      const Fop fop{
          .hyper = Sgd{.lr = 0.1}, .form = form, .init_gain = 1, .learning = {.normalization = normalization}};
      Optimizer optimizer = over({w}).rule(Sgd{.lr = 0.5}).precondition(fop).build();
      for (uint64_t t = 0; t < 5; ++t) {
        w.set_grad(random_normal({4, 3}, 1, 1, {.seed = 1, .stream = t}, DType::float64) * size);
        optimizer.step();
      }
      return optimizer.diagnostics()[0].frobenius;
    };
    CHECK(learned(1e-4, HyperNormalization::cosine) ==
          doctest::Approx(learned(1, HyperNormalization::cosine)).epsilon(1e-12));
    CHECK(learned(1e-4, HyperNormalization::previous) ==
          doctest::Approx(learned(1, HyperNormalization::previous)).epsilon(1e-12));
    CHECK(learned(1e-4, HyperNormalization::none) !=
          doctest::Approx(learned(1, HyperNormalization::none)).epsilon(1e-3));
  }
}

TEST_CASE("contradictory options of FOP are refused") {
  const Tensor value = Tensor::zeros(conv_shape);
  const Site site{conv_info, value};
  CHECK_THROWS_WITH_AS((Fop{.norm = Fop::Norm::through, .rescale = Fop::Rescale{}}.make(site)),
                       "[fop] norm and rescale both fix the scale of P; choose one of them", Error);
  CHECK_THROWS_AS((Fop{.form = Fop::Form::direct_unsymmetric, .rescale = Fop::Rescale{}}.make(site)), Error);
  CHECK_THROWS_AS((Fop{.rank = -1}.make(site)), Error);
  CHECK_THROWS_WITH_AS((Fop{.large_rank = 0}.make(site)),
                       "[fop] expects rank >= 0, max_dim >= 0 and large_rank >= 1, got 0, 1024 and 0", Error);
  CHECK_THROWS_AS((Fop{.rescale = Fop::Rescale{.power = -1}}.make(site)), Error);
  CHECK_THROWS_WITH_AS((Fop{.form = Fop::Form::factor, .rank = 2}.make(site)),
                       doctest::Contains("a rank, here 2, is that of P = I + M M^T"), Error);
}

TEST_CASE("a weight that its ParamInfo does not describe gets no matrix, but an error that names it") {
  const ParamInfo dense{"own.weight", LayerKind::linear, ParamRole::weight, 2, 2};
  CHECK_THROWS_WITH_AS((Fop{}.make({dense, Tensor::ones({2, 3})})),
                       "[fop] 'own.weight' is [2,3], but its ParamInfo says in 2", Error);
  const ParamInfo unsaid{.name = "own.weight", .layer = LayerKind::linear, .role = ParamRole::weight};
  CHECK_THROWS_AS((Fop{}.make({unsaid, Tensor::ones({2, 3})})), Error);
  const ParamInfo conv{"own.weight", LayerKind::conv, ParamRole::weight, 2, 3, {5, 5}};
  CHECK_THROWS_WITH_AS((Fop{}.make({conv, Tensor::ones({2, 3, 3, 3})})),
                       "[fop] 'own.weight' is [2,3,3,3], but its ParamInfo says kernel 5 x 5", Error);
}

TEST_CASE("a preconditioner that takes no parameter is refused") {
  const Parameter own(Tensor::ones({3, 5}), {.name = "own"}), weight(Tensor::ones({3, 5}), linear_info);
  CHECK_THROWS_WITH_AS(
      over({own}).precondition(Fop{}).rule(Sgd{.lr = 1}).build(),
      "[optimizer] the preconditioner 'fop' takes none of the 1 parameters, such as 'own' [3,5]. Weights "
      "of your own say what they are by a ParamInfo: layer, role, out and in",
      Error);
  CHECK_NOTHROW(over({own, weight}).precondition(Fop{}).rule(Sgd{.lr = 1}).build());
  CHECK_NOTHROW(over({own}).rule(Sgd{.lr = 1}).build());
  const Group plain{.preconditioner = AnyPreconditioner()};
  CHECK_NOTHROW(
      over({own}).precondition(Fop{}).rule(Sgd{.lr = 1}).group([](const ParamInfo&) { return true; }, plain).build());
}

TEST_CASE("a weight without elements gets no matrix") {
  const ParamInfo none{"none.weight", LayerKind::linear, ParamRole::weight, 2, 0};
  CHECK(Fop{}.make({none, Tensor::zeros({2, 0})}) == nullptr);
}

TEST_CASE("vectors have no learned step sizes, whatever they are called") {
  const ParamInfo info{"scale", LayerKind::linear, ParamRole::weight, 3, 1};
  const Tensor vector = Tensor::ones({3});
  CHECK(SHd{}.make({info, vector}) == nullptr);
  CHECK(PpHd{}.make({info, vector}) == nullptr);
}

TEST_CASE("two layers alike start low rank from noise of their own") {
  const Tensor value = Tensor::zeros(linear_shape);
  const auto start = [&](uint64_t index) {
    return Fop{}.make({.info = linear_info, .value = value, .index = index})->initial().to_vector<float>();
  };
  CHECK(start(0) == start(0));
  CHECK(start(0) != start(1));
}

TEST_CASE("the eigenvalues of PP-HD ascend") {
  const Tensor value = Tensor::zeros({1, 3}, DType::float64), m = Tensor::from<double>({2, -3, 1}, {1, 3});
  const auto eigenvalues = [&](bool positive) {
    return PpHd{.positive = positive}.make({linear_info, value})->eigenvalues(m, {}).to_vector<double>();
  };
  CHECK(eigenvalues(false) == std::vector<double>{-3, 1, 2});
  CHECK(eigenvalues(true) == std::vector<double>{1, 4, 9});
}

TEST_CASE("rescaling goes by the eigenvalue of largest magnitude, also where it is negative") {
  const ParamInfo info{"fc.weight", LayerKind::linear, ParamRole::weight, 3, 2};
  const Tensor value = Tensor::zeros({3, 2}, DType::float64), q = Tensor::from<double>({-4, 0, 0, 1}, {2, 2});
  for (const bool through : {false, true}) {
    const Fop fop{.form = Fop::Form::direct, .rescale = Fop::Rescale{.limit = 0.5, .power = 1, .through = through}};
    const auto p = fop.make({info, value});
    // At step 2 delta is 1/2, and |Q|_2 is 4: k = 1/2 + 1/2 * 0.5 / 4 = 0.5625.
    const std::vector<double> expected{-2.25, 0, 0, 0.5625}, got = p->matrix(q, {.step = 2}).to_vector<double>();
    for (size_t i = 0; i < 4; ++i) CHECK(got[i] == doctest::Approx(expected[i]).epsilon(1e-14));
    if (!through) continue;
    // d<g, k(Q) Q x> / dQ by central differences, whose error is (h^2 / 6) times a third derivative of size 1.
    const Tensor g = noise({3, 2}, 1), x = noise({3, 2}, 2);
    const std::vector<double> analytic = p->gradient(q, g, x, {.step = 2}).to_vector<double>();
    const double h = 1e-5;
    for (int64_t i = 0; i < 4; ++i) {
      const auto moved = [&](double by) {
        std::vector<double> values = q.to_vector<double>();
        values[static_cast<size_t>(i)] += by;
        return dot(g, p->apply(Tensor::from(values, {2, 2}), x, {.step = 2}));
      };
      CHECK(analytic[static_cast<size_t>(i)] == doctest::Approx((moved(h) - moved(-h)) / (2 * h)).epsilon(1e-8));
    }
  }
}

TEST_CASE("an inner rule's own decay shrinks what is learned, in a fused step and in one that is not") {
  // Where gradients are 0, so is Adam's direction: from I, the first step has no predecessor, the second decays.
  for (const bool exact : {false, true}) {
    const Parameter w(Tensor::ones({3, 2}, DType::float64), {"w", LayerKind::linear, ParamRole::weight, 3, 2});
    const Fop fop{
        .hyper = AdamW{.lr = 0.5, .weight_decay = 0.25}, .form = Fop::Form::direct, .learning = {.exact = exact}};
    Optimizer optimizer = over({w}).rule(Sgd{.lr = 1}).precondition(fop).build();
    for (int step = 0; step < 2; ++step) {
      w.set_grad(Tensor::zeros({3, 2}, DType::float64));
      optimizer.step();
    }
    CHECK(optimizer.state().at("w/fop.direct").to_vector<double>() == std::vector<double>{0.875, 0, 0, 0.875});
  }
}
