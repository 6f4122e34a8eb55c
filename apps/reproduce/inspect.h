// What the preconditioners of a saved training have learned: `reproduce inspect`.
#pragma once

#include <string>

namespace gradus::reproduce {

struct InspectRequest {
  std::string path;  ///< a run's folder, whose newest checkpoint is meant, or a checkpoint in one
  std::string out;   ///< folder for CSV files and plots; none where empty
  bool json = false;
};

/// Prints one row per preconditioned layer: norm, spectrum, whitening score, and angle and gain of P on the last
/// gradient. Returns the exit code. Throws where there is no checkpoint, or nothing learned in it.
int inspect(const InspectRequest& request);

}  // namespace gradus::reproduce
