// The vectorized functions against the C library's in double, over all of float32, in every build that this processor
// runs; errors in units in the last place of the exact result.
#include <array>
#include <bit>
#include <numbers>
#include <string>

#include "core/cpu/vector/kernels.h"
#include "tests/core/cpu_compare.h"

using namespace gradus;
using namespace gradus::cpu;

namespace {

/// Distance between neighboring floats at |x|.
double ulp_at(double x) {
  int exponent;
  std::frexp(std::abs(x), &exponent);
  return std::ldexp(1.0, std::max(exponent - 24, -149));
}

double logistic(double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }
double cdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }

struct Function {
  const char* name;
  UnaryOp op;
  double (*exact)(double);
  double ulps;  ///< the promise of core/cpu/vector/math.h, and half an ulp for the rounding of the result
};

const Function functions[] = {
    {"exp", UnaryOp::exp, [](double x) { return std::exp(x); }, 1.5},
    {"log", UnaryOp::log, [](double x) { return std::log(x); }, 1.5},
    {"tanh", UnaryOp::tanh, [](double x) { return std::tanh(x); }, 2.5},
    {"sigmoid", UnaryOp::sigmoid, logistic, 3.5},
    {"softplus", UnaryOp::softplus, [](double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); },
     3.5},
    {"erf", UnaryOp::erf, [](double x) { return std::erf(x); }, 2.5},
    {"gelu", UnaryOp::gelu, [](double x) { return x == -INFINITY ? NAN : x * cdf(x); }, 4.5},
    {"sqrt", UnaryOp::sqrt, [](double x) { return std::sqrt(x); }, 0.5},
    {"reciprocal", UnaryOp::reciprocal, [](double x) { return 1 / x; }, 0.5},
    {"sin", UnaryOp::sin, [](double x) { return std::sin(x); }, 1},
    {"cos", UnaryOp::cos, [](double x) { return std::cos(x); }, 1},
};

/// Every 1009th bit pattern: all exponents, both signs, denormals, NaNs; and the special values.
std::vector<float> sample() {
  std::vector<float> values = {0.0f, -0.0f, 1.0f, -1.0f, INFINITY, -INFINITY, NAN, 0.625f, -0.625f, 1e-45f, 88.8f};
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 1009)
    values.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  return values;
}

std::vector<Isa> runnable() {
  std::vector<Isa> list;
  for (const Isa candidate : {Isa::baseline, Isa::v3, Isa::v4})
    if (candidate <= isa()) list.push_back(candidate);
  return list;
}

}  // namespace

TEST_CASE("vectorized functions keep their promised accuracy over all of float32") {
  const std::vector<float> x = sample();
  std::vector<float> y(x.size());
  for (const Isa build : runnable()) {
    const std::string isa_name = name(build);
    CAPTURE(isa_name);
    for (const Function& f : functions) {
      const std::string function = f.name;
      CAPTURE(function);
      vector::kernels(build).unary[static_cast<int>(f.op)](x.data(), y.data(), static_cast<int64_t>(x.size()), 0);
      double worst = 0;
      float worst_at = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        const double exact = f.exact(x[i]);
        const double got = y[i];
        if (std::isnan(exact) || std::isnan(got)) {
          if (std::isnan(exact) && std::isnan(got)) continue;
          CAPTURE(x[i]);
          FAIL_CHECK("NaN in one only");
          break;
        }
        if (static_cast<float>(exact) == y[i]) continue;
        const double error = std::abs(got - exact) / ulp_at(exact);
        if (error > worst) worst = error, worst_at = x[i];
      }
      CAPTURE(worst_at);
      CHECK(worst <= f.ulps);
    }
  }
}
