#include "apps/common/resume.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "apps/common/command_line.h"
#include "apps/common/training_run.h"
#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/safetensors.h"
#include "core/shortened.h"

namespace gradus::apps {
namespace {

std::string config_of(const std::string& folder) { return folder + "/config.json"; }

Json read_config(const std::string& folder) {
  const std::string path = config_of(folder);
  if (!std::filesystem::exists(path))
    fail(ErrorKind::io, "resume", "there is no run in ", folder, ": it has no config.json");
  Json config = Json::parse_or_null(read_file(path));
  if (!config.is_object())
    fail(ErrorKind::io, "resume", path,
         " is not a configuration: it is damaged; put it back as it was, or train without --resume");
  return config;
}

std::string text_of(const Json& value) { return value.is_string() ? value.string() : value.dump(); }

/// Whether two words stand for the same value of a flag: 5e-2 and 0.05, data and ./data.
bool same(const std::string& a, const std::string& b) {
  if (a == b) return true;
  char *end_a = nullptr, *end_b = nullptr;
  const double x = std::strtod(a.c_str(), &end_a), y = std::strtod(b.c_str(), &end_b);
  if (!a.empty() && !b.empty() && *end_a == 0 && *end_b == 0) return x == y;
  std::error_code error;
  return std::filesystem::equivalent(a, b, error);
}

/// Of options that say where something lies, which may have been moved: the content of data, and of weights that are
/// named anew, is checked by its MD5, and the data's name is its folder's.
bool is_place(const std::string& name) {
  return name == "data" || name == "data_name" || name == "weights" || name == "plans";
}

constexpr const char* weights_md5 = "weights_md5";

/// Of options that a run is not made of.
bool is_incidental(const std::string& name) {
  static constexpr std::string_view names[] = {"help",        "resume",      "json",       "workers",
                                               "tensorboard", "export-onnx", "export_onnx"};
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

/// Whether the folder has the weights of the training's end, which is at this checkpoint: those of an earlier end stay
/// while a longer training is under way.
bool weights_are_complete(const RunDirectory& directory, const Checkpoint& end) {
  try {
    auto metadata = safetensors::load(directory.file("weights.safetensors")).metadata;
    return metadata["complete"] == "true" && metadata["step"] == end.text("step");
  } catch (const Error&) {
    return false;  // missing or damaged: they are written again
  }
}

/// Beside --resume, --epochs may name another number than the run was to have, where what is trained is the beginning
/// of that training too.
void check_other_length(const std::string& folder, const Json& config, const std::string& epochs,
                        const std::string& recorded) {
  const Json* schedule = config.find("schedule");
  if (!schedule || !depends_on_epochs(text_of(*schedule))) return;
  throw UsageError("--epochs " + epochs + " contradicts --resume " + folder + ", where --schedule " +
                   text_of(*schedule) + " has set the learning rates for " + recorded +
                   " epochs; leave it out, or train anew with another --out, if you like from --weights " + folder +
                   "/weights.safetensors");
}

/// The epochs that are begun, which a training that goes on cannot undo.
int64_t begun_epochs(const Checkpoint& checkpoint) {
  return checkpoint.integer("epoch") + (checkpoint.integer("batch") > 0 ? 1 : 0);
}

/// The last epoch's results, as a finished training prints them.
void show_results(const Checkpoint& checkpoint) {
  const std::string& rows = checkpoint.text("metrics.jsonl");
  const size_t end = rows.find_last_not_of('\n'), begin = rows.rfind('\n', end) + 1;
  Json row;
  try {
    row = Json::parse(rows.substr(begin));
  } catch (const JsonError& error) {
    fail(ErrorKind::io, "checkpoint", checkpoint.path, ": its metrics are damaged (", error.what(), ")");
  }
  Json::Object last = {{"final", true}};
  for (const char* name :
       {"epoch", "test_loss", "test_accuracy", "test_top5_accuracy", "ema_test_loss", "ema_test_accuracy"})
    if (const Json* value = row.find(name)) last.emplace_back(name, *value);
  print_line(Json(last).dump());
}

}  // namespace

void take_flags_from(const std::string& folder, CommandLine& line) {
  const Json config = read_config(folder);
  const auto recorded_as = [&](const std::string& key) {
    const Json* value = config.find(key);
    return value ? text_of(*value) : "";
  };
  const std::string program = recorded_as("program");
  if (program != line.program())
    throw UsageError("--resume " + folder + ": that is a run of " + (program.empty() ? "another program" : program));
  for (const auto& [name, given] : line.flags()) {
    std::string key = name;
    std::replace(key.begin(), key.end(), '-', '_');
    const std::string recorded = name == "out" ? folder : recorded_as(key);
    if (!given) {
      try {
        if (!recorded.empty()) line.give(name, recorded);
      } catch (const std::exception& error) {  // the command line's own, which may have two lines
        std::string reason = error.what();
        std::replace(reason.begin(), reason.end(), '\n', ' ');
        fail(ErrorKind::io, "resume", config_of(folder), " is damaged (", shortened(reason, 400),
             "): put it back as it was, or train without --resume");
      }
    } else if (is_incidental(name) || (is_place(name) && !recorded.empty()) || same(*given, recorded)) {
      continue;
    } else if (name == "epochs" && !recorded.empty()) {
      check_other_length(folder, config, *given, recorded);
    } else {
      throw UsageError("--" + name + " " + *given + " contradicts --resume " + folder + ", whose run has " +
                       (recorded.empty() ? "none" : recorded) + "; leave it out");
    }
  }
}

Start start_run(const TrainingFlags& flags, const Record& request) {
  Start start;
  if (flags.out.empty()) return start;
  const Json asked = Json::parse(request.json());
  start.directory.emplace(flags.out);
  start.directory->lock();
  if (flags.resume.empty()) {
    check_program(*start.directory, asked.at("program").string());
    if (start.directory->used())
      start.replaces = start.directory->next_replaced();
    else
      start.directory->save_config(request);
    return start;
  }
  start.checkpoint = newest_checkpoint(flags.out, note);
  const int64_t epochs = start.checkpoint ? start.checkpoint->integer("epoch") : 0;
  if (const int64_t begun = start.checkpoint ? begun_epochs(*start.checkpoint) : 0; begun > flags.epochs)
    throw UsageError(text("--epochs ", flags.epochs, ": the run in ", flags.out, " has begun epoch ", begun,
                          " already; name at least ", begun, ", or train anew with another --out"));
  const bool to_export = !flags.export_onnx.empty() && !std::filesystem::exists(flags.export_onnx);
  const Json config = read_config(flags.out);
  const Json* recorded = config.find("epochs");
  const bool as_recorded = !recorded || *recorded == Json(flags.epochs);
  start.complete = epochs > 0 && as_recorded && epochs == flags.epochs && !to_export &&
                   weights_are_complete(*start.directory, *start.checkpoint);
  if (start.complete) {
    announce(flags,
             text("the run in ", flags.out, " is complete: ", epochs, " epochs, ", start.checkpoint->integer("step"),
                  " steps", depends_on_epochs(flags.schedule) ? "" : "; to train on, name more with --epochs"));
    if (flags.json) show_results(*start.checkpoint);
    return start;
  }
  // Recorded paths are absolute; "auto" and the like are not.
  const Json* data = asked.find("data");
  if (data && data->string().starts_with("/") && !std::filesystem::exists(data->string()))
    fail(ErrorKind::io, "resume", "the data of the run in ", flags.out, " is not in ", data->string(),
         ": name where it is now with --data");
  return start;
}

void tell_replaced(const TrainingFlags& flags, const Start& start) {
  if (!start.replaces.empty()) note("replaces the run that is in " + flags.out + ", which moves to " + start.replaces);
}

void check_program(const RunDirectory& directory, const std::string& program) {
  if (!directory.used()) return;
  const Json config = Json::parse_or_null(read_file(config_of(directory.path())));
  if (!config.is_object()) return;  // damaged: nobody can say whose it is
  const Json* recorded = config.find("program");
  const std::string other = recorded ? text_of(*recorded) : "walker_train";  // whose first runs did not name it
  if (other != program)
    throw UsageError(directory.path() + " holds a run of " + other + ": name another folder, or remove this one");
}

void check_same_run(const RunDirectory& directory, const Record& config) {
  const Json before = read_config(directory.path()), now = Json::parse(config.json());
  const Json *old_weights = before.find("weights"), *weights = now.find("weights");
  const bool same_weights = old_weights && weights && *old_weights == *weights;
  bool changed = false;
  for (const auto& [key, value] : now.object()) {
    const Json* other = before.find(key);
    if (!other || is_incidental(key) || *other == value || (key == weights_md5 && same_weights)) continue;
    if (!is_place(key) && key != "epochs")  // which the flags allowed
      fail(ErrorKind::value, "resume", "the run in ", directory.path(), " was made with ", key, " ", text_of(*other),
           ", but now it is ", text_of(value), ": put it back, or train anew with another --out");
    changed = true;
  }
  if (!changed) return;
  Record record;  // with the weights that the run began from, whatever their file holds by now
  for (const auto& [name, value] : config.fields())
    if (name != weights_md5) record.add(name, value);
  if (const Json* digest = before.find(weights_md5)) record.add(weights_md5, digest->string());
  directory.save_config(record);
}

std::string recorded_data(const std::string& data) {
  return data == "auto" || data == "synthetic" ? data : recorded_path(data);
}

std::string recorded_path(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error) ? std::filesystem::absolute(path).lexically_normal().string() : path;
}

}  // namespace gradus::apps
