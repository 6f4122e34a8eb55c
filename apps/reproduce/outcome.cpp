#include "apps/reproduce/outcome.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace gradus::reproduce {
namespace {

using Json = nlohmann::json;

// JSON has no word for "not a number".
double number(const Json& json) { return json.is_null() ? std::nan("") : json.get<double>(); }

}  // namespace

double Outcome::at(const std::string& value) const {
  if (const auto found = values.find(value); found != values.end()) return found->second;
  std::string names;
  for (const auto& entry : values) names += " " + entry.first;
  fail(ErrorKind::value, "outcome", "there is no ", value, "; there are", names);
}

void Outcome::add(const std::string& name, const std::vector<std::string>& columns, const std::vector<double>& row) {
  Series& to = series[name];
  if (to.columns.empty()) to.columns = columns;
  to.rows.push_back(row);
}

std::string Outcome::json() const {
  Json json{{"values", values}, {"diverged", diverged}, {"seconds", seconds}, {"threads", threads}};
  json["series"] = Json::object();
  for (const auto& [name, content] : series)
    json["series"][name] = Json{{"columns", content.columns}, {"rows", content.rows}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Outcome Outcome::parse(const std::string& text) {
  try {
    const Json json = Json::parse(text);
    Outcome outcome;
    for (const auto& [name, value] : json.at("values").items()) outcome.values[name] = number(value);
    for (const auto& [name, content] : json.at("series").items()) {
      Series& to = outcome.series[name];
      content.at("columns").get_to(to.columns);
      for (const Json& row : content.at("rows")) {
        to.rows.emplace_back();
        for (const Json& value : row) to.rows.back().push_back(number(value));
      }
    }
    json.at("diverged").get_to(outcome.diverged);
    json.at("seconds").get_to(outcome.seconds);
    json.at("threads").get_to(outcome.threads);
    return outcome;
  } catch (const Json::exception& error) {
    fail(ErrorKind::value, "outcome", "not the result of a training: ", error.what());
  }
}

}  // namespace gradus::reproduce
