// The files of one experiment: OUT/NAME/table.md, *.csv, *.gp with the *.svg and *.png that gnuplot makes of them, and
// manifest.json.
#pragma once

#include <string>
#include <vector>

#include "apps/common/progress.h"
#include "apps/common/record.h"
#include "apps/reproduce/context.h"
#include "apps/reproduce/table.h"

namespace gradus::reproduce {

struct Experiment;

/// Everything that is added is written by finish(), but for plots' scripts and CSV files. No file but timing.csv,
/// table.md and manifest.json holds a measured time, but where time is what the experiment measures.
class Report {
 public:
  /// Makes the folder.
  Report(const Context& context, const Experiment& experiment);

  const std::string& folder() const { return folder_; }
  /// "Figure A.1, MNIST, cpu scale (2,500 steps)": for the heading and every plot. `protocol` says what a scale leaves
  /// out.
  void protocol(const std::string& protocol) { protocol_ = protocol; }
  std::string title() const;

  /// Printed as a table, or as one JSON object per row under --json. Throws where two columns have one name.
  void table(const Table& table);
  /// A paragraph of table.md under the tables.
  void note(const std::string& text);
  /// A record for --json only, in place of the rows of the tables.
  void json_line(const apps::Record& record) { json_.push_back(record.json()); }
  void csv(const std::string& name, const std::vector<apps::Record>& rows);
  /// Further images that trainings of the experiment saw: for the manifest.
  void also(Images images) { also_.push_back(images); }
  /// Writes NAME.gp: `commands` under a head that sets output, size and title. They read the CSV files beside it, with
  /// their first line as header.
  void plot(const std::string& name, const std::string& heading, const std::string& commands, int width = 900,
            int height = 600);
  /// Writes the rest and prints it. `runs` are the trainings that the experiment read.
  void finish(const std::vector<Run>& runs);

 private:
  void write_manifest(const std::vector<Run>& runs) const;
  void write_timing(const std::vector<Run>& runs) const;

  const Context& context_;
  const Experiment& experiment_;
  std::string folder_, protocol_;
  std::vector<Table> tables_;
  std::string notes_;
  std::vector<std::string> json_;
  std::vector<Images> also_;
  apps::Stopwatch watch_;
};

/// OUT/index.html: the tables and plots of every experiment that has been written to OUT.
void write_index(const std::string& out);

/// FOLDER/NAME.csv; records of one file have the same names. Texts are csv_name()s.
void write_csv(const std::string& folder, const std::string& name, const std::vector<apps::Record>& rows);

/// A number for tables: `decimals` digits after the point; "-" where it is not a number.
std::string fixed(double value, int decimals);
/// Two significant digits: "1.5e-01"; "-" where it is not a number.
std::string scientific(double value);
/// "12.3 ± 0.4"; the second part is left out where it is not a number.
std::string plus_minus(double value, double deviation, int decimals);

}  // namespace gradus::reproduce
