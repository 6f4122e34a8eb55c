// Test cases for every row of the op table: the gradients of three orders against differences, and the device's
// kernels, forward and backward, in float32 and in mixed precision, against the reference's float64.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <functional>
#include <limits>
#include <regex>
#include <set>

#include "autograd/autocast.h"
#include "autograd/ops.h"
#include "core/accelerator.h"
#include "core/error.h"
#include "core/random.h"
#include "tests/autograd/op_table.h"

using namespace gradus;
using gradus::testing::Domain;
using gradus::testing::op_table;
using gradus::testing::OpRow;

namespace {

/// FNV-1a: a row's numbers depend on its name, so that a row that is added leaves the others as they were.
uint64_t seed_of(const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325;
  for (unsigned char c : name) hash = (hash ^ c) * 0x100000001b3;
  return hash;
}

/// A row's function with inputs of one kind: `f` makes views of the leaves and calls the row's function on them.
struct Case {
  std::string label;
  std::vector<Var> leaves;  ///< float64, with values that float32 can represent
  VarFunction f;
};

/// Distinct numbers: one in each of `count` equal parts of the domain, in random order, moved away from the kinks.
std::vector<double> draw(size_t count, const Domain& domain, Generator& random) {
  std::vector<double> values(count);
  const double part = (domain.high - domain.low) / static_cast<double>(count);
  for (size_t i = 0; i < count; ++i)
    values[i] = domain.low + part * (static_cast<double>(i) + 0.25 + 0.5 * random.uniform());
  for (size_t i = count; i > 1; --i) std::swap(values[i - 1], values[random.below(i)]);
  constexpr double clearance = 0.02;
  for (double& value : values) {
    for (double kink : domain.kinks)
      if (std::abs(value - kink) < 2 * clearance) value += value < kink ? -clearance : clearance;
    value = static_cast<double>(static_cast<float>(value));
  }
  return values;
}

enum class Kind { plain, strided, transposed, channels_last };

/// The shape of a leaf whose view of this kind has `shape`.
Shape leaf_shape(Shape shape, Kind kind) {
  if (kind == Kind::strided && shape.rank() > 0) shape[shape.rank() - 1] = 2 * shape.back() + 1;
  if (kind == Kind::transposed && shape.rank() > 1) std::swap(shape[0], shape[shape.rank() - 1]);
  return shape;
}
Var view(const Var& leaf, Kind kind) {
  if (kind == Kind::strided && leaf.rank() > 0) return slice(leaf, -1, 1, leaf.size(-1), 2);
  if (kind == Kind::transposed && leaf.rank() > 1) return transpose(leaf, 0, -1);
  return leaf;
}

Case make_case(const OpRow& row, std::string label, const std::vector<Shape>& shapes, Kind kind) {
  size_t count = 0;
  for (const Shape& shape : shapes) count += static_cast<size_t>(numel(leaf_shape(shape, kind)));
  Generator random(seed_of(row.name), static_cast<uint64_t>(kind));
  const std::vector<double> values = draw(count, row.domain, random);

  Case made{std::move(label), {}, [&row, kind](std::span<const Var> leaves) {
              std::vector<Var> views;
              for (const Var& leaf : leaves) views.push_back(view(leaf, kind));
              return row.f(views);
            }};
  size_t used = 0;
  for (const Shape& logical : shapes) {
    const Shape shape = leaf_shape(logical, kind);
    const size_t size = static_cast<size_t>(numel(shape));
    Tensor tensor = Tensor::from(std::span(values).subspan(used, size), shape);
    if (kind == Kind::channels_last && shape.rank() == 4) tensor = contiguous(tensor, Layout::channels_last);
    made.leaves.push_back(Var::leaf(tensor));
    used += size;
  }
  return made;
}

std::vector<Case> cases_of(const OpRow& row) {
  std::vector<Case> cases;
  cases.push_back(make_case(row, "contiguous", row.shapes, Kind::plain));
  cases.push_back(make_case(row, "strided", row.shapes, Kind::strided));
  cases.push_back(make_case(row, "transposed", row.shapes, Kind::transposed));
  if (std::any_of(row.shapes.begin(), row.shapes.end(), [](const Shape& s) { return s.rank() == 4; }))
    cases.push_back(make_case(row, "channels-last", row.shapes, Kind::channels_last));
  if (!row.ones.empty()) cases.push_back(make_case(row, "extents of 1", row.ones, Kind::plain));
  if (!row.empty.empty()) cases.push_back(make_case(row, "empty", row.empty, Kind::plain));
  return cases;
}

void check_gradient(const OpRow& row) {
  for (const Case& c : cases_of(row)) {
    INFO("inputs: ", c.label);
    const GradcheckResult result = gradcheck(c.f, c.leaves);
    CHECK_MESSAGE(result, result.message);
  }
}

void check_second_gradient(const OpRow& row) {
  for (const Case& c : cases_of(row)) {
    INFO("inputs: ", c.label);
    const GradcheckResult result = gradgradcheck(c.f, c.leaves);
    CHECK_MESSAGE(result, result.message);
  }
}

/// An operation whose second gradient is right is built of operations whose second gradients must be right, too.
void check_third_gradient(const OpRow& row) {
  const Case c = make_case(row, "contiguous", row.shapes, Kind::plain);
  const auto weights = [](const Shape& shape, uint64_t stream) {
    return random_uniform(shape, -1, 1, {.seed = 7, .stream = stream}, DType::float64);
  };
  const VarFunction slope = [&](std::span<const Var> leaves) {
    const Var y = c.f(leaves);
    Var total = sum(y * weights(y.shape(), 0));  // which connects inputs that the gradient does not depend on
    const GradOptions options = {.create_graph = true, .allow_unused = true, .seeds = {weights(y.shape(), 1)}};
    for (const Var& g : grad(std::span(&y, 1), leaves, options))
      if (g.defined()) total = total + sum(g * weights(g.shape(), 2));
    return total;
  };
  const GradcheckResult result = gradgradcheck(slope, c.leaves);
  CHECK_MESSAGE(result, result.message);
}

/// The result and the gradients of all inputs, in the dtypes of `inputs`, for an output gradient that bfloat16 can
/// hold.
std::vector<Tensor> results(const VarFunction& f, const std::vector<Tensor>& inputs, const RandomKey& seed) {
  std::vector<Var> leaves;
  for (const Tensor& input : inputs) leaves.push_back(Var::leaf(input));
  const Var y = f(leaves);
  const Tensor gy = cast(cast(random_uniform(y.shape(), -1, 1, seed), DType::bfloat16), y.dtype());
  std::vector<Tensor> all = {y.value()};
  for (const Var& g : grad(std::span(&y, 1), leaves, {.allow_unused = true, .seeds = {gy}}))
    all.push_back(g.defined() ? g.value() : Tensor());
  return all;
}

std::vector<double> host(const Tensor& x) { return cast(x, DType::float64).to_vector<double>(); }

double largest(const std::vector<double>& x) {
  double most = 0;
  for (double v : x) most = std::max(most, std::abs(v));
  return most;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(a[i] - b[i]);
    most = std::isnan(d) ? std::numeric_limits<double>::infinity() : std::max(most, d);
  }
  return most;
}

/// A stable kernel returns the exact result for inputs a few roundings away, itself rounded. How far one rounding of
/// the inputs moves the result is measured on the reference; the number of roundings that add up in a sum of n terms is
/// of the order of sqrt(n) (Higham & Mary 2019, theorem 3.1), and 8 more are left to functions like exp. `rounding` is
/// that of the coarsest dtype among those that the inputs get, `dtypes(i)`.
void check_against_reference(const OpRow& row, double rounding, const std::function<DType(size_t input)>& dtypes) {
  constexpr RandomKey seed = {.seed = 3};
  for (const Case& c : cases_of(row)) {
    INFO("inputs: ", c.label);
    std::vector<Tensor> exact, narrow;
    int64_t elements = 0;
    for (const Var& leaf : c.leaves) {
      narrow.push_back(cast(leaf.value(), dtypes(narrow.size())));
      exact.push_back(cast(narrow.back(), DType::float64));
      elements += leaf.value().numel();
    }
    const double roundings = 8 + 4 * std::sqrt(static_cast<double>(elements));
    const std::vector<Tensor> expected = results(c.f, exact, seed), got = results(c.f, narrow, seed);
    std::vector<double> moved(expected.size(), 0.0);
    for (uint64_t draw = 0; draw < 4; ++draw) {
      std::vector<Tensor> near;
      for (size_t i = 0; i < exact.size(); ++i) {
        const RandomKey key = {.seed = draw, .stream = 1, .offset = i << 32};
        near.push_back(exact[i] * random_uniform(exact[i].shape(), 1 - rounding, 1 + rounding, key, DType::float64));
      }
      const std::vector<Tensor> there = results(c.f, near, seed);
      for (size_t r = 0; r < expected.size(); ++r)
        if (expected[r].defined()) moved[r] = std::max(moved[r], largest_difference(host(there[r]), host(expected[r])));
    }
    for (size_t r = 0; r < expected.size(); ++r) {
      INFO((r == 0 ? std::string("result") : "gradient of input " + std::to_string(r - 1)));
      REQUIRE(got[r].defined() == expected[r].defined());
      if (!expected[r].defined()) continue;
      if (r > 0) CHECK(got[r].dtype() == narrow[r - 1].dtype());
      REQUIRE(got[r].shape() == expected[r].shape());
      const std::vector<double> reference = host(expected[r]);
      CHECK(largest_difference(host(got[r]), reference) <= roundings * (moved[r] + rounding * largest(reference)));
    }
  }
}

void check_device(const OpRow& row) {
  check_against_reference(row, std::numeric_limits<float>::epsilon(), [](size_t) { return DType::float32; });
}

/// Activations (first inputs) in bfloat16 with float32 parameters, under Autocast; then all inputs in bfloat16, which
/// only operations with parameters may refuse.
void check_mixed_precision(const OpRow& row) {
  constexpr double rounding = 0x1p-7;
  const Autocast scope(DType::bfloat16);
  check_against_reference(row, rounding, [](size_t i) { return i == 0 ? DType::bfloat16 : DType::float32; });
  try {
    check_against_reference(row, rounding, [](size_t) { return DType::bfloat16; });
  } catch (const Error& error) {
    INFO(error.what());
    CHECK(error.kind() == ErrorKind::dtype);
    const std::string name = row.name.substr(0, row.name.find(' '));
    CHECK((name.find("conv") == 0 || name == "linear" || name.find("_norm") != std::string::npos));
  }
}

// doctest registers test cases by macros only; a table needs the function behind them.
constexpr size_t most_rows = 256;

void register_case(const std::string& name, doctest::detail::funcType function) {
  static std::deque<std::string> names;  // doctest keeps a pointer
  const std::string& kept = names.emplace_back(name);
  doctest::detail::regTest(doctest::detail::TestCase(function, __FILE__, __LINE__, doctest::detail::TestSuite()) *
                           kept.c_str());
}

template <size_t Row>
void register_row() {
  if (Row >= op_table().size()) return;
  const std::string& name = op_table()[Row].name;
  register_case(name + ": the gradient agrees with differences", [] { check_gradient(op_table()[Row]); });
  register_case(name + ": the gradient of the gradient agrees with differences",
                [] { check_second_gradient(op_table()[Row]); });
  register_case(name + ": the third gradient agrees with differences", [] { check_third_gradient(op_table()[Row]); });
  register_case(name + ": the device agrees with the reference", [] { check_device(op_table()[Row]); });
  register_case(name + ": mixed precision agrees with the reference", [] { check_mixed_precision(op_table()[Row]); });
}

template <size_t... Rows>
bool register_rows(std::index_sequence<Rows...>) {
  (register_row<Rows>(), ...);
  return true;
}
const bool registered = register_rows(std::make_index_sequence<most_rows>());

}  // namespace

TEST_CASE("every row of the op table is registered, under a name of its own") {
  CHECK(registered);
  CHECK(op_table().size() <= most_rows);
  std::set<std::string> names;
  for (const OpRow& row : op_table()) CHECK_MESSAGE(names.insert(row.name).second, row.name);
}

TEST_CASE("every operation of autograd/ops.h has a row in the op table") {
  const char* root = std::getenv("GRADUS_SOURCE_ROOT");
  REQUIRE_MESSAGE(root, "GRADUS_SOURCE_ROOT must name the source tree, as meson test sets it");
  std::ifstream header(std::string(root) + "/autograd/ops.h");
  REQUIRE(header);
  std::set<std::string> rows;
  for (const OpRow& row : op_table()) rows.insert(row.name.substr(0, row.name.find(' ')));
  // Differences across a rounding to another dtype mean nothing: see ops_test.cpp.
  rows.insert("cast");
  const std::regex declaration("^Var (operator[-+*/]|\\w+)\\(.*");
  size_t found = 0;
  std::smatch match;
  for (std::string line; std::getline(header, line);)
    if (std::regex_match(line, match, declaration)) {
      ++found;
      CHECK_MESSAGE(rows.count(match[1]) == 1, match[1].str());
    }
  CHECK(found > 60);
}
