// --resume DIR: the flags of the run that is in a folder, the checkpoint from which it goes on, and whether there is
// anything left to do.
#pragma once

#include <optional>
#include <string>

#include "apps/common/checkpoint.h"
#include "apps/common/run_directory.h"
#include "apps/common/training_flags.h"

namespace gradus::apps {

class CommandLine;

/// Gives every option of `line` that was not on the command line the value it has in FOLDER/config.json, under its own
/// name with underscores. Throws UsageError for a run of another program, and for a flag on the command line that says
/// something else (--json and --workers may, and --data and --weights, as files move, and --epochs, unless the learning
/// rates depend on it); ErrorKind::io where the file is missing or no configuration.
void take_flags_from(const std::string& folder, CommandLine& line);

/// Where a training begins: opened before the data, so that a mistyped folder costs no time.
struct Start {
  std::optional<RunDirectory> directory;  ///< none without --out and --resume
  std::optional<Checkpoint> checkpoint;   ///< from which to go on
  std::string replaces = {};              ///< where an earlier run moves to that is in the folder and is not resumed
  bool complete = false;                  ///< nothing is left to do, and this was said
};

/// `request` is what the flags say, before the data is known: it makes --resume possible from now on.
Start start_run(const TrainingFlags& flags, const Record& request);
/// Says where an earlier run moves to, if there is one.
void tell_replaced(const TrainingFlags& flags, const Start& start);

/// Throws UsageError where the folder holds results of another program than this one.
void check_program(const RunDirectory& directory, const std::string& program);

/// Throws where the run in the folder was made with another `config` than this one: with other data, for instance.
/// Where only the place of the data or the number of epochs is another, it is recorded.
void check_same_run(const RunDirectory& directory, const Record& config);

/// A path as it stands in config.json: absolute, if there is a file of this name, so that a run can be resumed from
/// anywhere.
std::string recorded_path(const std::string& path);
/// The same for what open_dataset() takes: "auto" and "synthetic" are no paths, whatever the folder holds.
std::string recorded_data(const std::string& data);

}  // namespace gradus::apps
