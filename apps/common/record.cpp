#include "apps/common/record.h"

#include <charconv>
#include <cmath>
#include <type_traits>

#include "core/json.h"

namespace gradus::apps {
namespace {

std::string json_text(const std::string& value) { return Json(value).dump(); }

struct JsonValue {
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(double value) const { return std::isfinite(value) ? exact(value) : "null"; }
  std::string operator()(const std::string& value) const { return json_text(value); }
  template <class Integer>
  std::string operator()(Integer value) const {
    return std::to_string(value);
  }
};

// RFC 4180: a field with a comma, a quote or a line break stands in quotes, and a quote in it is doubled.
std::string csv_text(const std::string& value) {
  if (value.find_first_of(",\"\r\n") == std::string::npos) return value;
  std::string quoted = "\"";
  for (char c : value) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

struct CsvValue : JsonValue {
  using JsonValue::operator();
  std::string operator()(double value) const { return exact(value); }
  std::string operator()(const std::string& value) const { return csv_text(value); }
};

}  // namespace

std::string exact(double value) {
  if (std::isnan(value)) return "nan";  // to_chars writes its sign
  char digits[32];
  return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
}

const Record::Value* Record::find(std::string_view name) const {
  for (const auto& [field, value] : fields_)
    if (field == name) return &value;
  return nullptr;
}

double Record::number(std::string_view name) const {
  const Value* value = find(name);
  if (!value) return std::nan("");
  return std::visit(
      [](const auto& held) {
        if constexpr (std::is_arithmetic_v<std::decay_t<decltype(held)>>) return static_cast<double>(held);
        return std::nan("");
      },
      *value);
}

std::string Record::json(std::string_view before, std::string_view between, std::string_view after) const {
  std::string out = "{";
  for (const auto& [name, value] : fields_) {
    out += out.size() == 1 ? before : between;
    out += json_text(name) + ": " + std::visit(JsonValue{}, value);
  }
  out += after;
  return out + "}";
}

std::string Record::csv_names() const {
  std::string out;
  for (const Field& field : fields_) {
    if (&field != &fields_.front()) out += ',';
    out += csv_text(field.first);
  }
  return out;
}

std::string Record::csv_values() const {
  std::string out;
  for (const Field& field : fields_) {
    if (&field != &fields_.front()) out += ',';
    out += std::visit(CsvValue{}, field.second);
  }
  return out;
}

}  // namespace gradus::apps
