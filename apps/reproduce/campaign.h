// Runs the trainings of experiments: what is finished is not run again, what was stopped goes on, and several processes
// share the work.
#pragma once

#include "apps/common/progress.h"
#include "apps/reproduce/experiment.h"

namespace gradus::reproduce {

class Campaign {
 public:
  /// `since` is when the command began: its budget is one for all its processes. `worked`: a process of the command's
  /// has run a training to its end, or a step of one.
  Campaign(const Context& context, const apps::Stopwatch& since, bool worked = false)
      : context_(context), since_(since), worked_(worked) {}

  enum class End { finished, out_of_time, interrupted };
  /// Runs what the experiment still lacks, as far as no other process is at it; waits for none. However small the
  /// budget, a training that lacks steps gets one: repeated calls come to an end.
  End run_available(const Experiment& experiment);
  /// The same, and waits for other processes until all is finished.
  End run_all(const Experiment& experiment);

 private:
  End run(const Run& run, const std::string& progress, double done, double part);
  bool out_of_time() const {
    return context_.request().budget > 0 && since_.seconds() > 60 * context_.request().budget;
  }

  const Context& context_;
  apps::Stopwatch since_;
  apps::Progress progress_;
  size_t waiting_ = 0;  ///< trainings that other processes were at in the last round
  bool worked_;         ///< out of time, nothing more is begun
};

/// Starts --jobs processes that each run what is available of all experiments, with an equal part of the cores, and
/// waits for them. What one leaves undone, for whatever reason, is left to run_all(). True: one of them at least ended
/// without an error.
bool run_in_processes(const Request& request, const Ledger& ledger, const std::vector<const Experiment*>& experiments,
                      const apps::Stopwatch& since);

}  // namespace gradus::reproduce
