// A row of named values, printed as JSON or CSV so that every number reads back exactly: configurations, metrics.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace gradus::apps {

/// The shortest decimal text that reads back as this double; "nan", "inf" and "-inf" where it is not finite.
std::string exact(double value);

/// Fields keep the order in which they were added.
class Record {
 public:
  using Value = std::variant<bool, int64_t, uint64_t, double, std::string>;
  using Field = std::pair<std::string, Value>;

  Record() = default;
  Record(std::initializer_list<Field> fields) : fields_(fields) {}
  void add(std::string name, Value value) { fields_.emplace_back(std::move(name), std::move(value)); }
  void add(const Record& other) { fields_.insert(fields_.end(), other.fields_.begin(), other.fields_.end()); }
  const std::vector<Field>& fields() const { return fields_; }
  /// The value of the first field of this name; null where there is none.
  const Value* find(std::string_view name) const;
  /// Of a field that is a number, whole or not; not a number where there is no such field.
  double number(std::string_view name) const;

  /// One JSON object, {"epoch": 1, "loss": 2.25}, on one line or one field per line; no newline at its end. JSON has no
  /// word for a number that is not finite: it becomes null.
  std::string json() const { return json("", ", "); }
  std::string json_lines() const { return json("\n  ", ",\n  ", "\n"); }
  /// Names, or values, separated by commas. Text is quoted where it has to be.
  std::string csv_names() const;
  std::string csv_values() const;

 private:
  std::string json(std::string_view before, std::string_view between, std::string_view after = "") const;

  std::vector<Field> fields_;
};

}  // namespace gradus::apps
