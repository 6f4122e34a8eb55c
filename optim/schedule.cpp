// Every schedule is one expression in t.
#include "optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/error.h"

namespace gradus::optim {
namespace {

void need_positive(const char* op, int64_t length) {
  if (length <= 0) fail(ErrorKind::value, op, "expects a length of at least 1, got ", length);
}
double fraction(int64_t t, int64_t length) {
  return static_cast<double>(std::min(t, length)) / static_cast<double>(length);
}
/// Half a cosine from `first` at 0 to `last` at 1.
double half_cosine(double first, double last, double part) {
  return last + (first - last) * (1 + std::cos(std::numbers::pi * part)) / 2;
}

}  // namespace

void Schedule::check() const {
  if (!factor_) fail(ErrorKind::value, "schedule", "expects a function of time, got an empty one");
}

Schedule constant(double factor) {
  return {[=](int64_t) { return factor; }};
}

Schedule step(int64_t every, double gamma) {
  need_positive("step", every);
  return {[=](int64_t t) { return std::pow(gamma, t / every); }};
}

Schedule multi_step(std::vector<int64_t> milestones, double gamma) {
  return {[milestones = std::move(milestones), gamma](int64_t t) {
    return std::pow(gamma, std::count_if(milestones.begin(), milestones.end(), [t](int64_t m) { return m <= t; }));
  }};
}

Schedule exponential(double gamma) {
  if (!(gamma > 0)) fail(ErrorKind::value, "exponential", "expects a factor above 0, got ", gamma);
  return {[=](int64_t t) { return std::pow(gamma, t); }};
}

Schedule cosine(int64_t length, double last) {
  need_positive("cosine", length);
  return {[=](int64_t t) { return half_cosine(1, last, fraction(t, length)); }};
}

Schedule linear(int64_t length, double first, double last) {
  need_positive("linear", length);
  return {[=](int64_t t) { return first + (last - first) * fraction(t, length); }};
}

Schedule polynomial(int64_t length, double power) {
  need_positive("polynomial", length);
  return {[=](int64_t t) { return std::pow(1 - fraction(t, length), power); }};
}

Schedule cosine_restarts(int64_t length, int64_t longer, double last) {
  need_positive("cosine_restarts", length);
  need_positive("cosine_restarts", longer);
  return {[=](int64_t t) {
    int64_t now = length;
    if (longer == 1) t %= length;
    for (; t >= now; now *= longer) t -= now;
    return half_cosine(1, last, fraction(t, now));
  }};
}

Schedule triangle(int64_t up, int64_t down, double first) {
  need_positive("triangle", up);
  need_positive("triangle", down);
  return {[=](int64_t t) {
    t %= up + down;
    return first + (1 - first) * (t < up ? fraction(t, up) : 1 - fraction(t - up, down));
  }};
}

Schedule one_cycle(int64_t length, double rise, double first, double last) {
  need_positive("one_cycle", length);
  if (!(rise > 0 && rise < 1)) fail(ErrorKind::value, "one_cycle", "expects a rise between 0 and 1, got ", rise);
  const double peak = rise * static_cast<double>(length), fall = static_cast<double>(length) - peak;
  return {[=](int64_t t) {
    const auto now = static_cast<double>(std::min(t, length));
    return now < peak ? half_cosine(first, 1, now / peak) : half_cosine(1, last, (now - peak) / fall);
  }};
}

Schedule warm_up(int64_t length, double first, Schedule then) {
  if (length < 0 || !(first >= 0))
    fail(ErrorKind::value, "warm_up", "expects a length and a first factor of at least 0, got ", length, " and ",
         first);
  if (length == 0) return then;
  return chain({{length, linear(length, first, 1)}, {0, std::move(then)}});
}

Schedule chain(std::vector<Phase> phases) {
  if (phases.empty()) fail(ErrorKind::value, "chain", "expects at least one phase, got none");
  for (const Phase& phase : phases)
    if (phase.length < 0) fail(ErrorKind::value, "chain", "expects lengths of at least 0, got ", phase.length);
  return {[phases = std::move(phases)](int64_t t) {
    size_t i = 0;
    for (; i + 1 < phases.size() && t >= phases[i].length; ++i) t -= phases[i].length;
    return phases[i].schedule(t);
  }};
}

Schedule per_epoch(Schedule schedule, int64_t steps_per_epoch) {
  need_positive("per_epoch", steps_per_epoch);
  return {[schedule = std::move(schedule), steps_per_epoch](int64_t t) { return schedule(t / steps_per_epoch); }};
}

}  // namespace gradus::optim
