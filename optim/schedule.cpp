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

}  // namespace

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
  return {[=](int64_t t) { return std::pow(gamma, t); }};
}

Schedule cosine(int64_t length, double last) {
  need_positive("cosine", length);
  return {[=](int64_t t) { return last + (1 - last) * (1 + std::cos(std::numbers::pi * fraction(t, length))) / 2; }};
}

Schedule linear(int64_t length, double first, double last) {
  need_positive("linear", length);
  return {[=](int64_t t) { return first + (last - first) * fraction(t, length); }};
}

Schedule warm_up(int64_t length, double first, Schedule then) {
  return chain({{length, linear(length, first, 1)}, {0, std::move(then)}});
}

Schedule chain(std::vector<Phase> phases) {
  if (phases.empty()) fail(ErrorKind::value, "chain", "expects at least one phase, got none");
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
