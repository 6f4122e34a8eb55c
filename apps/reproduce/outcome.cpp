#include "apps/reproduce/outcome.h"

#include <cmath>

#include "core/accelerator.h"
#include "core/error.h"
#include "core/joined.h"
#include "core/json.h"

namespace gradus::reproduce {
namespace {

// JSON has no word for "not a number", nor for what is infinite: both were written as null.
double number(const Json& json) { return json.is_null() ? std::nan("") : json.number(); }

[[noreturn]] void missing(const char* kind, const std::string& name, const auto& of, const std::string& file) {
  std::vector<std::string> names;
  for (const auto& entry : of) names.push_back(entry.first);
  fail(ErrorKind::value, "outcome", file.empty() ? "" : file + ": ", "there is no ", kind, " ", name, "; there ",
       names.empty() ? "is none" : "are " + joined(names),
       file.empty() ? "" : ". Remove the file, and the training is run again");
}

}  // namespace

std::optional<int64_t> Outcome::steps_of(int64_t planned) const {
  if (steps > 0) return steps;
  if (diverged.empty()) return planned;
  return std::nullopt;
}

double Outcome::at(const std::string& value) const {
  if (const auto found = values.find(value); found != values.end()) return found->second;
  missing("value", value, values, file);
}

const Series& Outcome::series_at(const std::string& name) const {
  if (const auto found = series.find(name); found != series.end() && !found->second.rows.empty()) return found->second;
  missing("series", name, series, file);
}

void Outcome::add(const std::string& name, const std::vector<std::string>& columns, const std::vector<double>& row) {
  Series& to = series[name];
  if (to.columns.empty()) to.columns = columns;
  to.rows.push_back(row);
}

std::string Outcome::json() const {
  Json::Object all_series;
  for (const auto& [name, content] : series)
    all_series.push_back({name, {{"columns", content.columns}, {"rows", content.rows}}});
  return Json({{"diverged", diverged},
               {"machine", machine},
               {"seconds", seconds},
               {"series", all_series},
               {"steps", steps},
               {"threads", threads},
               {"values", values}})
      .dump();
}

Outcome Outcome::parse(const std::string& text) {
  try {
    const Json json = Json::parse(text);
    Outcome outcome;
    for (const auto& [name, value] : json.at("values").object()) outcome.values[name] = number(value);
    for (const auto& [name, content] : json.at("series").object()) {
      Series& to = outcome.series[name];
      content.at("columns").get_to(to.columns);
      for (const Json& row : content.at("rows").array()) {
        to.rows.emplace_back();
        for (const Json& value : row.array()) to.rows.back().push_back(number(value));
        if (to.rows.back().empty() || to.rows.back().size() != to.columns.size())
          throw JsonError(gradus::text("[json] a row has ", to.rows.back().size(), " numbers, but there are ",
                                       to.columns.size(), " columns"));
      }
    }
    json.at("diverged").get_to(outcome.diverged);
    json.at("seconds").get_to(outcome.seconds);
    json.at("threads").get_to(outcome.threads);
    if (const Json* machine = json.find("machine")) outcome.machine = machine->string();
    if (const Json* steps = json.find("steps")) steps->get_to(outcome.steps);
    return outcome;
  } catch (const JsonError& error) {
    fail(ErrorKind::value, "outcome", "not the result of a training: ", error.what());
  }
}

std::string this_machine() {
  const std::string line = describe_device();  // "cpu: NAME, ..."
  const size_t begin = line.find(": ") + 2;
  return line.substr(begin, line.find(", ", begin) - begin);
}

}  // namespace gradus::reproduce
