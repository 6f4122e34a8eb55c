// Trainings that are stopped in the middle, for the tests of --resume: what a finished one leaves, and how to stop one
// again and again.
#pragma once

#include <signal.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <thread>

#include "core/random.h"
#include "tests/apps/program.h"
#include "tests/data/temporary_folder.h"

namespace gradus {

/// Every file of a run folder by name, but for timing.jsonl: what two equal runs have in common.
inline std::map<std::string, std::string> results_of(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name != "timing.jsonl" && entry.is_regular_file()) files[name] = read_file(entry.path().string());
  }
  return files;
}

/// The names of files that differ or that only one folder has; file contents do not belong on a screen.
inline std::string differences(const std::string& one, const std::string& other) {
  const auto a = results_of(one), b = results_of(other);
  std::string names;
  for (const auto& [name, content] : a)
    if (!b.contains(name) || b.at(name) != content) names += name + " ";
  for (const auto& [name, content] : b)
    if (!a.contains(name)) names += name + " ";
  return names;
}

/// Starts `program` until `stop` has sent it a signal while it ran. How fast a machine is, and how busy, decides
/// whether a short program has ended by then: what it left is removed, and it starts again. Returns how the stopped one
/// ended.
inline Program::Result caught(const std::string& program, const std::vector<std::string>& words,
                              const std::string& folder, const std::function<void(Program&)>& stop) {
  for (int attempt = 0; attempt < 20; ++attempt) {
    Program running(program, words);
    stop(running);
    const Program::Result result = running.finish();
    if (result.exit_code != 0) return result;
    std::filesystem::remove_all(folder);
  }
  FAIL("it always ended before it could be stopped");
  return {};
}

/// Starts `program` with these words, which say --out `folder`, and stops it by `signal` at random moments of at most
/// so many milliseconds, resuming it each time, until that was done `times` times; then lets it end. False where it
/// ended before.
inline bool trained_with_stops(const std::string& program, std::vector<std::string> words, const std::string& folder,
                               int signal, int times, int most, Generator generator) {
  for (int stops = 0; stops < times; ++stops) {
    Program running(program, words);
    // Before there is a configuration, there is nothing that could be resumed.
    for (int i = 0; i < 60000 && !std::filesystem::exists(folder + "/config.json"); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (signal != SIGKILL) running.next_line();  // nor can a process end in good order that has hardly begun
    std::this_thread::sleep_for(std::chrono::milliseconds(generator.below(static_cast<uint64_t>(most))));
    running.signal(signal);
    const Program::Result result = running.finish();
    if (result.exit_code == 0) return false;
    CAPTURE(stops);
    CAPTURE(result.err);
    REQUIRE(result.exit_code == (signal == SIGKILL ? -1 : 130));
    words = {"--resume", folder};
  }
  const Program::Result result = run_program(program, words);
  CAPTURE(result.err);
  REQUIRE(result.exit_code == 0);
  return true;
}

/// The same with moments that come sooner, from the beginning, until it was stopped so many times.
inline void train_with_stops(const std::string& program, const std::vector<std::string>& words,
                             const std::string& folder, int signal, int times, uint64_t seed) {
  for (int most = 500; !trained_with_stops(program, words, folder, signal, times, most, Generator(seed)); most /= 2) {
    REQUIRE(most > 1);
    std::filesystem::remove_all(folder);
  }
}

}  // namespace gradus
