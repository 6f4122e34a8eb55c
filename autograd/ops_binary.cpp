// Arithmetic on two operands. Each gradient is summed down to the shape of an operand that was broadcast.
#include "autograd/autocast.h"
#include "autograd/gradients.h"
#include "autograd/record.h"
#include "core/check_defined.h"

namespace gradus {
namespace {

/// For mixed operands under Autocast.
Var wide(const Var& x) { return cast(x, DType::float32); }

/// gy where the condition holds (or, for pass_where(!condition), does not) and 0 elsewhere, for operand i.
Var choose(const Tensor& condition, const Var& gy, Inputs in, size_t i, bool where_true) {
  const Tensor zero = Tensor::zeros({}, gy.dtype());
  return sum_to(where_true ? where(condition, gy, zero) : where(condition, zero, gy), in.shape(i));
}

/// maximum and minimum: `first_wins` is the comparison of the operands under which the first is the result.
template <class FirstWins>
Var extremum(const char* name, Tensor y, const Var& a, const Var& b, FirstWins first_wins) {
  return record(name, std::move(y), {a, b}, selects([a = Saved(a), b = Saved(b), first_wins](const Var& gy, Inputs in) {
                  const Tensor first = first_wins(a.get(in).value(), b.get(in).value());
                  if (in.needs(0)) in[0] = choose(first, gy, in, 0, true);
                  if (in.needs(1)) in[1] = choose(first, gy, in, 1, false);
                }));
}

/// clamp_grad is linear in gy, so it is its own gradient; x counts as a constant.
Var clamp_grad(const Var& gy, const Var& x, double low, double high) {
  return record(
      "clamp_grad", clamp_grad(gy.value(), x.value(), low, high), {gy},
      selects([x = Saved(x), low, high](const Var& ggx, Inputs in) { in[0] = clamp_grad(ggx, x.get(in), low, high); }));
}

/// A number as an operand beside x.
Tensor constant(const char* op, double value, const Var& x) {
  check::defined(op, x.value());
  return Tensor::full({}, value, x.dtype());
}

/// The operand that is a number and not a variable.
auto number(const char* place, double value) {
  return [=] { return Attributes{{place, value}}; };
}

}  // namespace

Var operator-(const Var& x) { return neg(x); }

Var operator+(const Var& a, const Var& b) {
  if (mixed(a, b)) return wide(a) + wide(b);
  return record("add", a.value() + b.value(), {a, b}, selects([](const Var& gy, Inputs in) {
                  if (in.needs(0)) in[0] = sum_to(gy, in.shape(0));
                  if (in.needs(1)) in[1] = sum_to(gy, in.shape(1));
                }));
}

Var operator-(const Var& a, const Var& b) {
  if (mixed(a, b)) return wide(a) - wide(b);
  return record("sub", a.value() - b.value(), {a, b}, [](const Var& gy, Inputs in, Curvature h) {
    if (in.needs(0)) in[0] = sum_to(gy, in.shape(0));
    if (in.needs(1)) in[1] = neg(sum_to(gy, in.shape(1)));
    if (!h) return;
    if (in.needs(0)) h[0] = sum_to(h.y(), in.shape(0));
    if (in.needs(1)) h[1] = sum_to(h.y(), in.shape(1));
  });
}

Var operator*(const Var& a, const Var& b) {
  if (mixed(a, b)) return wide(a) * wide(b);
  return record(
      "mul", a.value() * b.value(), {a, b},
      multilinear([a = Saved(a, b.requires_grad()), b = Saved(b, a.requires_grad())](const Var& gy, Inputs in) {
        if (in.needs(0)) in[0] = sum_to(gy * b.get(in), in.shape(0));
        if (in.needs(1)) in[1] = sum_to(gy * a.get(in), in.shape(1));
      }));
}

Var operator/(const Var& a, const Var& b) {
  if (mixed(a, b)) return wide(a) / wide(b);
  Tensor y = a.value() / b.value();
  return record("div", y, {a, b},
                [b = Saved(b), y = SavedOutput(y, b.requires_grad())](const Var& gy, Inputs in, Curvature h) {
                  const Var ga = gy / b.get(in);
                  if (in.needs(0)) in[0] = sum_to(ga, in.shape(0));
                  if (in.needs(1)) in[1] = sum_to(neg(ga * y.get(in)), in.shape(1));
                  if (!h) return;
                  const Var ha = h.y() / square(b.get(in));
                  if (in.needs(0)) h[0] = sum_to(ha, in.shape(0));
                  if (!in.needs(1)) return;
                  Var hb = ha * square(y.get(in));
                  if (h.bends()) hb = hb + ga * y.get(in) / b.get(in) * 2.0;
                  h[1] = sum_to(hb, in.shape(1));
                });
}

Var operator+(const Var& a, double b) {
  return record("add", a.value() + b, {a}, selects([](const Var& gy, Inputs in) { in[0] = gy; }), number("second", b));
}

Var operator-(const Var& a, double b) {
  return record("sub", a.value() - b, {a}, selects([](const Var& gy, Inputs in) { in[0] = gy; }), number("second", b));
}

Var operator*(const Var& a, double b) {
  return record("mul", a.value() * b, {a}, scales([b](const Var& gy, Inputs in) { in[0] = gy * b; }),
                number("second", b));
}

Var operator/(const Var& a, double b) {
  return record("div", a.value() / b, {a}, scales([b](const Var& gy, Inputs in) { in[0] = gy / b; }),
                number("second", b));
}

Var operator+(double a, const Var& b) { return b + a; }

Var operator-(double a, const Var& b) {
  return record("sub", a - b.value(), {b}, scales([](const Var& gy, Inputs in) { in[0] = neg(gy); }),
                number("first", a));
}

Var operator*(double a, const Var& b) { return b * a; }

Var operator/(double a, const Var& b) {
  Tensor y = a / b.value();
  return record(
      "div", y, {b},
      [b = Saved(b), y = SavedOutput(y)](const Var& gy, Inputs in, Curvature h) {
        const Var slope = neg(y.get(in) / b.get(in));
        elementwise(
            gy, in, h, [&](const Var& g) { return g * slope; },
            [&](const Var& g) { return g * slope / b.get(in) * -2.0; });
      },
      number("first", a));
}

Var pow(const Var& a, double exponent) {
  return record(
      "pow", pow(a.value(), exponent), {a},
      [a = Saved(a), exponent](const Var& gy, Inputs in, Curvature h) {
        // g times factor a^power; the factor 0 apart: 0 * 0^-1 would be no number.
        const auto term = [&](const Var& g, double power, double factor) {
          return factor == 0 ? g * 0.0 : g * (pow(a.get(in), power) * factor);
        };
        elementwise(
            gy, in, h, [&](const Var& g) { return term(g, exponent - 1, exponent); },
            [&](const Var& g) { return term(g, exponent - 2, exponent * (exponent - 1)); });
      },
      number("second", exponent));
}

Var& operator+=(Var& a, const Var& b) { return a = a + b; }
Var& operator-=(Var& a, const Var& b) { return a = a - b; }
Var& operator*=(Var& a, const Var& b) { return a = a * b; }
Var& operator/=(Var& a, const Var& b) { return a = a / b; }
Var& operator+=(Var& a, double b) { return a = a + b; }
Var& operator-=(Var& a, double b) { return a = a - b; }
Var& operator*=(Var& a, double b) { return a = a * b; }
Var& operator/=(Var& a, double b) { return a = a / b; }

Var pow(double a, const Var& exponent) { return pow(constant("pow", a, exponent), exponent); }

Var pow(const Var& a, const Var& b) {
  if (mixed(a, b)) return pow(wide(a), wide(b));
  Tensor y = pow(a.value(), b.value());
  return record(
      "pow", y, {a, b},
      [base = Saved(a), exponent = Saved(b), y = SavedOutput(y, b.requires_grad())](const Var& gy, Inputs in) {
        const Var &a = base.get(in), &b = exponent.get(in);
        const Tensor base_zero = equal(a.value(), 0), one = Tensor::ones({}, gy.dtype());
        if (in.needs(0)) {
          // Where both are 0 the slope b a^(b-1) is 0, and 0 * 0^-1 would be no number.
          const Tensor both_zero = logical_and(base_zero, equal(b.value(), 0));
          in[0] = sum_to(gy * (b * pow(a, where(both_zero, one, b) - 1.0)), in.shape(0));
        }
        if (in.needs(1)) {  // where a is 0 the slope a^b log a counts as 0, and as -infinity where b is negative
          const Tensor flat = logical_and(base_zero, logical_not(less(b.value(), 0)));
          in[1] = sum_to(gy * (y.get(in) * log(where(flat, one, a))), in.shape(1));
        }
      });
}

Var maximum(const Var& a, const Var& b) {
  if (mixed(a, b)) return maximum(wide(a), wide(b));
  return extremum("maximum", maximum(a.value(), b.value()), a, b,
                  [](const Tensor& x, const Tensor& y) { return logical_or(greater_equal(x, y), not_equal(x, x)); });
}

Var minimum(const Var& a, const Var& b) {
  if (mixed(a, b)) return minimum(wide(a), wide(b));
  return extremum("minimum", minimum(a.value(), b.value()), a, b,
                  [](const Tensor& x, const Tensor& y) { return logical_or(less_equal(x, y), not_equal(x, x)); });
}

Var maximum(const Var& a, double b) { return maximum(a, constant("maximum", b, a)); }
Var minimum(const Var& a, double b) { return minimum(a, constant("minimum", b, a)); }
Var maximum(double a, const Var& b) { return maximum(constant("maximum", a, b), b); }
Var minimum(double a, const Var& b) { return minimum(constant("minimum", a, b), b); }

Var clamp(const Var& x, double low, double high) {
  return record("clamp", clamp(x.value(), low, high), {x}, selects([x = Saved(x), low, high](const Var& gy, Inputs in) {
                  in[0] = clamp_grad(gy, x.get(in), low, high);
                }),
                [=] {
                  return Attributes{{"low", low}, {"high", high}};
                });
}

Var where(const Tensor& condition, const Var& a, const Var& b) {
  if (mixed(a, b)) return where(condition, wide(a), wide(b));
  return record("where", where(condition, a.value(), b.value()), {a, b},
                selects([condition = Saved(condition)](const Var& gy, Inputs in) {
                  const Tensor& c = condition.get(in).value();
                  if (in.needs(0)) in[0] = choose(c, gy, in, 0, true);
                  if (in.needs(1)) in[1] = choose(c, gy, in, 1, false);
                }),
                [&] {
                  return Attributes{{"condition", condition}};
                });
}

Var where(const Tensor& condition, const Var& a, double b) { return where(condition, a, constant("where", b, a)); }
Var where(const Tensor& condition, double a, const Var& b) { return where(condition, constant("where", a, b), b); }

}  // namespace gradus
