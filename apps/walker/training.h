// A training of the walker with all that is measured on the way: what walker_train and reproduce have in common.
#pragma once

#include <string>
#include <vector>

#include "apps/common/checkpoint.h"
#include "apps/walker/ppo.h"

namespace gradus::walker {

/// A training, and how it is judged: by episodes without exploration, the same ones every time.
struct Plan {
  Settings settings = {};
  int64_t evaluate_every = 10;  ///< iterations; the last is always followed by an evaluation
  int64_t episodes = 10;        ///< of an evaluation

  apps::Record record() const;
};

class Training {
 public:
  explicit Training(const Plan& plan);

  const Plan& plan() const { return plan_; }
  bool finished() const { return ppo_.iterations() >= plan_.settings.iterations; }
  int64_t iterations() const { return ppo_.iterations(); }
  /// One iteration, and an evaluation where one is due. The row is what Ppo tells, then "evaluation", the mean return
  /// of the policy without exploration (not a number where none was due), and "best", the highest so far.
  const apps::Record& iterate();
  const std::vector<apps::Record>& rows() const { return rows_; }
  /// Of this process, in iterate().
  double evaluation_seconds() const { return evaluation_seconds_; }

  /// The highest evaluation so far; not a number before the first.
  double best() const { return best_; }
  int64_t best_iteration() const { return best_iteration_; }
  /// The policy that it was reached with, for save_policy().
  const Policy& best_policy() const { return best_policy_; }
  /// Returns of that policy in episodes that no evaluation has used.
  std::vector<double> play_best(int64_t episodes);

  /// Everything that decides what follows, so that a training that goes on from it ends with the same bytes.
  apps::Checkpoint checkpoint() const;
  /// Throws ErrorKind::value where the checkpoint belongs to another plan, naming the first setting that differs; only
  /// the number of iterations may have grown, unless the learning rate depends on it.
  void load(const apps::Checkpoint& checkpoint);

 private:
  Plan plan_;
  Ppo ppo_;
  Policy best_policy_;
  std::vector<apps::Record> rows_;
  double best_;
  int64_t best_iteration_ = 0;
  double evaluation_seconds_ = 0;
};

}  // namespace gradus::walker
