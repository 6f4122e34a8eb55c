// What an optimizer reports of its preconditioners: the paper's counts, angles, norms, spectra, bytes.
#include "optim/diagnostics.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "core/ops.h"
#include "core/random.h"
#include "models/all_cnn.h"
#include "optim/optimizer.h"

using namespace gradus;
using namespace gradus::optim;

namespace {

struct PaperCounts {
  int64_t layers = 0, paper = 0, stored = 0;
  friend bool operator==(const PaperCounts&, const PaperCounts&) = default;
};

PaperCounts all_cnn_counts(const AnyPreconditioner& preconditioner) {
  AllCnn model;
  Optimizer optimizer = over(model.parameters()).rule(Sgd{}).precondition(preconditioner).build();
  PaperCounts counts;
  for (const PreconditionerReport& report : optimizer.diagnostics()) {
    ++counts.layers;
    counts.paper += report.paper_parameters;
    counts.stored += report.stored_parameters;
  }
  return counts;
}

/// A scalar of one's own, with no more than what every preconditioner needs.
struct Own {
  static constexpr const char* name = "own";
  AnyRule hyper = Sgd{};
  Learning learning = {};
  std::unique_ptr<Preconditioner> make(const Site&) const {
    struct Made final : Preconditioner {
      Tensor initial() const override { return Tensor::ones({}, DType::float64); }
      Tensor apply(const Tensor& s, const Tensor& x, const StepInfo&) const override { return x * s; }
      Tensor gradient(const Tensor&, const Tensor& g, const Tensor& x, const StepInfo&) const override {
        return sum(g * x);
      }
    };
    return std::make_unique<Made>();
  }
};

}  // namespace

TEST_CASE("All-CNN-C has the paper's additional parameters") {
  CHECK(all_cnn_counts(Fop{}) == PaperCounts{9, 65, 569});
  CHECK(all_cnn_counts(SHd{}) == PaperCounts{9, 9, 9});
  CHECK(all_cnn_counts(PpHd{}) == PaperCounts{9, 1368480, 1368480});
  CHECK(all_cnn_counts(NoPreconditioner{}) == PaperCounts{0, 0, 0});
}

TEST_CASE("angle, gain, norm and eigenvalues are those of P") {
  const ParamInfo info{"w", LayerKind::linear, ParamRole::weight, 1, 2};
  Parameter w(Tensor::zeros({1, 2}, DType::float64), info);
  Optimizer optimizer = over({w}).rule(Sgd{}).precondition(Fop{.form = Fop::Form::direct}).build();
  CHECK(std::isnan(optimizer.diagnostics()[0].angle_degrees));
  Tensor m = optimizer.state().at("w/fop.direct");
  copy_(m, Tensor::from<double>({2, 1, 1, 2}, {2, 2}));  // eigenvalues 1 and 3
  w.set_grad(Tensor::from<double>({1, 0}, {1, 2}));      // P g = (2, 1)
  const PreconditionerReport report = optimizer.diagnostics()[0];
  CHECK(report.parameter == "w");
  CHECK(report.preconditioner == "fop");
  CHECK(report.angle_degrees == doctest::Approx(std::atan2(1, 2) * 180 / std::numbers::pi));
  CHECK(report.gain == doctest::Approx(std::sqrt(5)));
  CHECK(report.initial_gain == 1);  // P = I
  CHECK(report.frobenius == doctest::Approx(std::sqrt(10)));
  CHECK(report.eigenvalues.to_vector<double>()[0] == doctest::Approx(1));
  CHECK(report.eigenvalues.to_vector<double>()[1] == doctest::Approx(3));
  CHECK(report.matrix.to_vector<double>() == std::vector<double>{2, 1, 1, 2});
}

TEST_CASE("the gain of the P that learning starts with is that of a fresh optimizer, for the same gradient") {
  const ParamInfo info{"w", LayerKind::linear, ParamRole::weight, 4, 6};
  Parameter w(Tensor::zeros({4, 6}, DType::float64), info);
  const auto build = [&] { return over({w}).rule(Sgd{}).precondition(Fop{.init_gain = 3}).build(); };  // P = I + M M^T
  Optimizer fresh = build(), learned = build();
  Tensor m = learned.state().at("w/fop.identity_plus");
  scale_(m, 2);
  w.set_grad(random_normal({4, 6}, 0, 1, {.seed = 3}, DType::float64));
  const double first = fresh.diagnostics()[0].gain;
  CHECK(first > 1.5);
  CHECK(fresh.diagnostics()[0].initial_gain == first);
  CHECK(learned.diagnostics()[0].initial_gain == first);
  CHECK(learned.diagnostics()[0].gain > 1.5 * first);
}

TEST_CASE("P = s I has no angle in float32, and -I half a turn") {
  // A rounding of P g's entries, 6e-8 of them, turns it by 4e-6 degrees; the cosine's own would show as 0.02.
  Parameter w(Tensor::zeros({40, 25}), {"w", LayerKind::linear, ParamRole::weight, 40, 25});
  Optimizer optimizer = over({w}).rule(Sgd{}).precondition(Fop{.form = Fop::Form::direct}).build();
  Tensor m = optimizer.state().at("w/fop.direct");
  for (uint64_t stream = 0; stream < 20; ++stream) {
    w.set_grad(random_normal({40, 25}, 0, 1, {.seed = 3, .stream = stream}));
    copy_(m, Tensor::eye(25) * 1.7);
    CHECK(optimizer.diagnostics(Diagnose::without_spectra)[0].angle_degrees < 1e-3);
    copy_(m, Tensor::eye(25) * -1.0);
    CHECK(optimizer.diagnostics(Diagnose::without_spectra)[0].angle_degrees == doctest::Approx(180).epsilon(1e-6));
  }
}

TEST_CASE("where a gradient tells nothing, what P makes of ones does") {
  Parameter w(Tensor::zeros({2, 3}), {"w", LayerKind::linear, ParamRole::weight, 2, 3});
  Optimizer optimizer = over({w}).rule(Sgd{}).precondition(SHd{}).build();
  Tensor m = optimizer.state().at("w/s-hd.scale");
  scale_(m, 5.0);
  for (const double nothing : {0.0, std::nan("")}) {
    w.set_grad(Tensor::full({2, 3}, nothing));
    CHECK(std::isnan(optimizer.diagnostics(Diagnose::without_spectra)[0].initial_gain));
    const PreconditionerReport report = optimizer.diagnostics(Diagnose::without_spectra, DiagnoseOn::ones)[0];
    CHECK(report.gain == doctest::Approx(5 * report.initial_gain).epsilon(1e-6));
    CHECK(report.angle_degrees == doctest::Approx(0));
    CHECK_FALSE(report.matrix.defined());
  }
}

TEST_CASE("state bytes count the learned tensor, the kept gradient and the inner rule") {
  const ParamInfo info{"w", LayerKind::conv, ParamRole::weight, 4, 2, {3, 3}};
  Parameter w(Tensor::zeros({4, 2, 3, 3}), info);
  Optimizer optimizer = over({w}).rule(Sgd{.momentum = 0.9}).precondition(Fop{}).build();
  // M and two moments of 81 floats; the step counts of Adam and of the last step, its learning rate and gain.
  CHECK(optimizer.diagnostics()[0].state_bytes == 3 * 81 * 4 + 4 * 8);
  w.set_grad(Tensor::ones({4, 2, 3, 3}));
  optimizer.step();
  CHECK(optimizer.diagnostics()[0].state_bytes == 3 * 81 * 4 + 4 * 8 + 72 * 4);
  CHECK(optimizer.state_bytes() == 3 * 81 * 4 + 4 * 8 + 72 * 4 + 72 * 4);  // and the velocity
}

TEST_CASE("All-CNN-C's state is 569 numbers of P, twice that of Adam, and one gradient of the weights") {
  AllCnn model;
  const std::vector<Parameter> parameters = model.parameters();
  Optimizer optimizer = over(parameters).rule(Sgd{}).precondition(Fop{}).build();
  const auto bytes = [&] {
    int64_t sum = 0;
    for (const PreconditionerReport& report : optimizer.diagnostics(Diagnose::without_spectra))
      sum += report.state_bytes;
    return sum;
  };
  const int64_t counters = 9 * 4 * 8;
  CHECK(bytes() == 3 * 569 * 4 + counters);
  for (const Parameter& parameter : parameters) parameter.set_grad(zeros_like(parameter.value()));
  optimizer.step();
  CHECK(bytes() == (3 * 569 + 1368480) * 4 + counters);
}

TEST_CASE("the spectrum of a matrix that is not finite is no number, and one's own without a matrix has no norm") {
  Parameter w(Tensor::zeros({1, 2}, DType::float64), {"w", LayerKind::linear, ParamRole::weight, 1, 2});
  Optimizer optimizer = over({w}).rule(Sgd{}).precondition(Fop{.form = Fop::Form::direct}).build();
  Tensor m = optimizer.state().at("w/fop.direct");
  fill_(m, std::nan(""));
  const PreconditionerReport broken = optimizer.diagnostics()[0];
  CHECK(std::isnan(broken.frobenius));
  CHECK(std::isnan(broken.eigenvalues.to_vector<double>()[1]));

  Optimizer own = over({w}).rule(Sgd{}).precondition(Own{}).build();
  w.set_grad(Tensor::ones({1, 2}, DType::float64));
  CHECK(std::isnan(own.diagnostics()[0].frobenius));
  CHECK(own.diagnostics()[0].gain == doctest::Approx(1));
}

TEST_CASE("a layer with very many inputs reports its spectrum without its matrix") {
  const ParamInfo info{"w", LayerKind::linear, ParamRole::weight, 2, 3000};
  Parameter w(Tensor::zeros({2, 3000}), info);
  Optimizer optimizer = over({w}).rule(Sgd{}).precondition(Fop{}).build();
  const PreconditionerReport report = optimizer.diagnostics()[0];
  CHECK_FALSE(report.matrix.defined());
  CHECK(report.eigenvalues.numel() == 3000);
  Tensor m = optimizer.state().at("w/fop.identity_plus");
  fill_(m, std::nan(""));
  CHECK(optimizer.diagnostics()[0].eigenvalues.numel() == 3000);
  CHECK(report.stored_parameters == 75000);
  CHECK(report.paper_parameters == 3000);
}

TEST_CASE("reports are of the step that comes: its number and its learning rate") {
  Parameter w(Tensor::zeros({2, 2}, DType::float64), {"w", LayerKind::linear, ParamRole::weight, 2, 2});
  const auto set_gradient = [&] { w.set_grad(Tensor::ones({2, 2}, DType::float64)); };
  // |P|_2 = delta + (1 - delta) limit with delta = t^-1, where P = gamma I: |P|_F is sqrt(2) times that.
  Optimizer rescaled =
      over({w})
          .rule(Sgd{})
          .precondition(
              Fop{.hyper = Sgd{.lr = 0}, .form = Fop::Form::direct, .rescale = Fop::Rescale{.limit = 0.25, .power = 1}})
          .build();
  for (const double delta : {1.0, 0.5}) {
    CHECK(rescaled.diagnostics()[0].frobenius == doctest::Approx(std::sqrt(2) * (delta + (1 - delta) * 0.25)));
    set_gradient();
    rescaled.step();
  }
  // P = e / lr with e = 0.5 held and lr = 0.5, then 0.125.
  Optimizer baydin = over({w})
                         .rule(Sgd{.lr = 0.5})
                         .schedule(exponential(0.25))
                         .precondition(SHd{.hyper = Sgd{.lr = 0}, .form = SHd::Form::baydin})
                         .build();
  for (const double gain : {1.0, 4.0}) {
    set_gradient();
    CHECK(baydin.diagnostics()[0].gain == doctest::Approx(gain));
    baydin.step();
  }
}

TEST_CASE("without a gradient the report is of the one that the last step kept") {
  Parameter w(Tensor::zeros({1, 2}, DType::float64), {"w", LayerKind::linear, ParamRole::weight, 1, 2});
  Optimizer optimizer = over({w}).rule(Sgd{}).precondition(Fop{.form = Fop::Form::direct}).build();
  Tensor m = optimizer.state().at("w/fop.direct");
  copy_(m, Tensor::from<double>({2, 1, 1, 2}, {2, 2}));
  w.set_grad(Tensor::from<double>({1, 0}, {1, 2}));
  optimizer.step();
  optimizer.zero_grad();
  CHECK(optimizer.diagnostics()[0].gain == doctest::Approx(std::sqrt(5)));  // P (1, 0) = (2, 1)
}
