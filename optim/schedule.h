// Schedules: pure functions of time that multiply a hyperparameter. Time counts completed optimizer steps from 0, or
// epochs inside per_epoch().
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace gradus::optim {

/// The factor at time t >= 0.
class Schedule {
 public:
  // A lambda is a schedule; an empty std::function throws ErrorKind::value.
  template <std::invocable<int64_t> F>
  requires(!std::same_as<F, Schedule>) Schedule(F factor)  // NOLINT(google-explicit-constructor)
      : factor_(std::move(factor)) {
    check();
  }
  double operator()(int64_t t) const { return factor_(t); }

 private:
  void check() const;

  std::function<double(int64_t)> factor_;
};

Schedule constant(double factor = 1);
/// gamma^(t / every), whole divisions.
Schedule step(int64_t every, double gamma = 0.1);
/// gamma^(number of milestones <= t).
Schedule multi_step(std::vector<int64_t> milestones, double gamma = 0.1);
/// gamma^t
Schedule exponential(double gamma);
/// Half a cosine from 1 at t = 0 to `last` at t = length, and `last` afterwards.
Schedule cosine(int64_t length, double last = 0);
/// A straight line from `first` at t = 0 to `last` at t = length, and `last` afterwards.
Schedule linear(int64_t length, double first, double last);
/// (1 - t / length)^power, and 0 from t = length on.
Schedule polynomial(int64_t length, double power = 1);
/// Half cosines from 1 to `last`, over and over: the first takes `length`, each other `longer` times the one before it
/// (SGDR: Loshchilov and Hutter 2017).
Schedule cosine_restarts(int64_t length, int64_t longer = 1, double last = 0);
/// A straight line from `first` up to 1 in a time of `up` and one back in `down`, over and over (Smith 2017).
Schedule triangle(int64_t up, int64_t down, double first = 0);
/// Half a cosine from `first` up to 1 in the part `rise` of the length, and another down to `last` at its end, where it
/// stays (Smith and Topin 2018).
Schedule one_cycle(int64_t length, double rise = 0.3, double first = 0.04, double last = 4e-6);
/// A straight line from `first` up to 1 at t = length, times what `then` gives for the time after it.
Schedule warm_up(int64_t length, double first, Schedule then = constant());

struct Phase {
  int64_t length;  ///< the last phase goes on for ever, whatever it says
  Schedule schedule;
};
/// Phases one after another; each starts its own time at 0.
Schedule chain(std::vector<Phase> phases);
/// `schedule` with time in whole epochs of so many steps: t / steps_per_epoch.
Schedule per_epoch(Schedule schedule, int64_t steps_per_epoch);

}  // namespace gradus::optim
