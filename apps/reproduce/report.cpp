#include "apps/reproduce/report.h"

#include <cmath>
#include <cstdio>
#include <set>

#include "apps/common/command_line.h"
#include "apps/common/run_directory.h"
#include "apps/reproduce/experiment.h"
#include "apps/reproduce/gnuplot.h"
#include "autograd/autocast.h"
#include "core/error.h"
#include "core/file.h"
#include "core/joined.h"
#include "core/parallel.h"

namespace gradus::reproduce {

void write_csv(const std::string& folder, const std::string& name, const std::vector<apps::Record>& rows) {
  std::string text;
  for (const apps::Record& row : rows) {
    if (text.empty()) text = row.csv_names() + "\n";
    apps::Record plain;
    for (const auto& [field, value] : row.fields()) {
      const auto* const word = std::get_if<std::string>(&value);
      plain.add(field, word ? csv_name(*word) : value);
    }
    text += plain.csv_values() + "\n";
  }
  write_file_atomically(folder + "/" + name + ".csv", text);
}

std::string fixed(double value, int decimals) {
  if (std::isnan(value)) return "-";
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string scientific(double value) {
  if (std::isnan(value)) return "-";
  char text[64];
  std::snprintf(text, sizeof text, "%.1e", value);
  return text;
}

std::string plus_minus(double value, double deviation, int decimals) {
  return fixed(value, decimals) + (std::isnan(deviation) ? "" : " ± " + fixed(deviation, decimals));
}

Report::Report(const Context& context, const Experiment& experiment)
    : context_(context),
      experiment_(experiment),
      folder_(apps::RunDirectory(context.request().out + "/" + experiment.name).path()) {}

std::string Report::title() const {
  std::string title = experiment_.title;
  if (experiment_.images != Images::none) title += "; " + context_.images(experiment_.images).name;
  if (!experiment_.same_at_every_scale)
    title += text(experiment_.images != Images::none ? ", " : "; ", name(context_.scale()), " scale");
  return title + (protocol_.empty() ? "" : " (" + protocol_ + ")");
}

void Report::table(const Table& table) {
  std::set<std::string> names{"experiment"};
  for (const std::string& name : table.header)
    if (!names.insert(name).second)
      fail(ErrorKind::value, "reproduce", "two columns of a table of ", experiment_.name, " are called '", name, "'");
  tables_.push_back(table);
}

void Report::note(const std::string& text) { notes_ += (notes_.empty() ? "" : "\n") + text + "\n"; }

void Report::csv(const std::string& name, const std::vector<apps::Record>& rows) { write_csv(folder_, name, rows); }

void Report::plot(const std::string& name, const std::string& heading, const std::string& commands, int width,
                  int height) {
  write_plot(folder_, name, {heading, title()}, commands, width, height);
}

void Report::write_timing(const std::vector<Run>& runs) const {
  std::string text = "run,seconds,steps,threads,machine\n";
  for (const Run& run : runs) {
    const Outcome& outcome = context_.at(run);
    const std::optional<int64_t> steps = outcome.steps_of(run.steps);
    text += apps::Record{{"run", run.name},
                         {"seconds", outcome.seconds},
                         {"steps", steps ? std::to_string(*steps) : "not counted"},
                         {"threads", outcome.threads},
                         {"machine", outcome.machine.empty() ? "not recorded" : outcome.machine}}
                .csv_values() +
            "\n";
  }
  write_file_atomically(folder_ + "/timing.csv", text);
}

void Report::write_manifest(const std::vector<Run>& runs) const {
  const Request& request = context_.request();
  std::set<uint64_t> seeds;
  double seconds = 0;
  for (const Run& run : runs) {
    seeds.insert(run.flags.seed);
    seconds += context_.at(run).seconds;
  }
  apps::Record manifest{{"experiment", experiment_.name},    {"title", title()},
                        {"version", GRADUS_VERSION},         {"device", GRADUS_DEVICE},
                        {"threads", int64_t{num_threads()}},  // of this command; those of trainings are in timing.csv
                        {"scale", name(request.scale)},      {"jobs", request.jobs}};
  if (autocasting()) manifest.add("amp", std::string("bf16"));
  manifest.add(context_.data_record(experiment_.images));
  for (const Images images : also_)
    for (const auto& [name, value] : context_.data_record(images).fields()) manifest.add("also_" + name, value);
  manifest.add({{"training_seconds", seconds}, {"report_seconds", watch_.seconds()}});
  const auto quoted_key = [&](const Run& run) { return "\"" + context_.key(run) + "\""; };
  std::string text = manifest.json_lines();
  text.resize(text.size() - 2);  // the end of the object, "\n}"
  write_file_atomically(folder_ + "/manifest.json", text + ",\n  \"seeds\": [" + joined(seeds) +
                                                        "],\n  \"trainings\": [" + joined(runs, quoted_key) + "]\n}\n");
}

void Report::finish(const std::vector<Run>& runs) {
  std::string markdown = "# " + title() + "\n", plain = title() + "\n";
  for (const Table& table : tables_) {
    markdown += "\n" + table.markdown();
    plain += table.plain() + "\n";
  }
  if (!notes_.empty()) markdown += "\n" + notes_;
  write_file_atomically(folder_ + "/table.md", markdown);
  write_timing(runs);
  write_manifest(runs);
  if (!context_.request().json) {
    apps::print_line(plain + notes_);
    return;
  }
  for (const std::string& line : json_) apps::print_line(line);
  if (!json_.empty()) return;
  for (const Table& table : tables_)
    for (const auto& row : table.rows) {
      apps::Record record{{"experiment", experiment_.name}};
      for (size_t i = 0; i < row.size(); ++i) record.add(table.header[i], row[i]);
      apps::print_line(record.json());
    }
}

}  // namespace gradus::reproduce
