// Flags about how a GPU computes, for every program that trains or measures.
#pragma once

#include <string>
#include <vector>

#include "apps/common/record.h"

namespace gradus::apps {

class CommandLine;

struct DeviceFlags {
  bool tf32 = false, fast = false;
  std::string plans;           ///< see core/accelerator.h
  std::string graph = "auto";  ///< see apps/common/captured_step.h

  void add_to(CommandLine& line);
  /// Makes the settings those of the process, and lets the library's warnings come out as notes. Throws UsageError
  /// where the device cannot do what was asked for.
  void apply() const;
  /// Which of the given flags have no effect in a build for the CPU, one sentence each.
  std::vector<std::string> without_effect(const CommandLine& line) const;
  Record record() const;
};

}  // namespace gradus::apps
