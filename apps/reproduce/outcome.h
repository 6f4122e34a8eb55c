// What a finished training leaves: numbers by name, and curves.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace gradus::reproduce {

/// Rows of numbers under named columns.
struct Series {
  std::vector<std::string> columns;
  std::vector<std::vector<double>> rows;
};

struct Outcome {
  std::map<std::string, double> values;  ///< "final_accuracy"
  std::map<std::string, Series> series;  ///< "accuracy", "angle", "P conv1"
  std::string diverged;                  ///< why it ended early; empty where it did not
  /// Measured, so no two are equal: of training steps, without evaluation; of trainings with a routine of their own,
  /// the walker's and small ones, of all that it did.
  double seconds = 0;
  int64_t threads = 0;
  std::string file = {};     ///< of the ledger, where it was read from there: for messages
  std::string machine = {};  ///< this_machine() where it ran; empty in results of the first version: one unknown one
  int64_t steps = 0;         ///< taken; 0 where they were not counted, as in results of the first version

  /// Steps taken of so many; nothing where it ended early and they were not counted.
  std::optional<int64_t> steps_of(int64_t planned) const;
  /// Throws ErrorKind::value naming the file and the values that there are.
  double at(const std::string& value) const;
  /// Throws likewise where there is no such series, or it has no rows.
  const Series& series_at(const std::string& name) const;
  /// Adds a row; the columns count when the series is new.
  void add(const std::string& name, const std::vector<std::string>& columns, const std::vector<double>& row);

  /// One JSON object; every finite number reads back exactly, others as not a number, as JSON has no word for them.
  std::string json() const;
  /// Throws ErrorKind::value where the text is not what json() wrote.
  static Outcome parse(const std::string& text);
};

/// The processor's or the GPU's name: "Intel(R) Xeon(R) Platinum 8488C".
std::string this_machine();

}  // namespace gradus::reproduce
