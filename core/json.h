// JSON values: configurations, results, plans, headers of safetensors. nlohmann::json reads and writes them, in
// json.cpp alone: it costs seconds in every file that includes it.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/error.h"

namespace gradus {

/// What Json throws: text that is no JSON, a value of another type, a key that is missing.
class JsonError : public Error {
 public:
  explicit JsonError(const std::string& text) : Error(ErrorKind::value, text) {}
};

/// An object that was read has one key twice.
class RepeatedKey : public JsonError {
 public:
  explicit RepeatedKey(const std::string& key);
  /// In quotes and with escapes.
  const std::string& key() const { return key_; }

 private:
  std::string key_;
};

/// null, a truth value, a number, a string, an array or an object. Integers are exact from INT64_MIN to UINT64_MAX.
class Json {
 public:
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  /// In the order of the text, or in which they were added.
  using Object = std::vector<Member>;

  Json() = default;
  Json(std::nullptr_t) {}
  template <std::integral T>
  Json(T value) {
    if constexpr (std::same_as<T, bool>)
      value_ = value;
    else if (std::in_range<int64_t>(value))
      value_ = static_cast<int64_t>(value);
    else
      value_ = static_cast<uint64_t>(value);
  }
  Json(double value) : value_(value) {}
  Json(std::string value) : value_(std::move(value)) {}
  Json(std::string_view value) : value_(std::string(value)) {}
  Json(const char* value) : value_(std::string(value)) {}
  Json(Array items) : value_(std::move(items)) {}
  Json(Object members) : value_(std::move(members)) {}
  /// An object: {{"epoch", 1}, {"loss", 2.25}}.
  Json(std::initializer_list<Member> members) : value_(Object(members)) {}
  template <class T>
  Json(const std::vector<T>& items) : value_(Array(items.begin(), items.end())) {}
  template <class T>
  Json(const std::map<std::string, T>& members) : value_(Object(members.begin(), members.end())) {}

  /// Reads UTF-8 text. Throws JsonError with the line, the column and what was expected there; RepeatedKey where an
  /// object has a key twice. Arrays and objects stand inside each other 128 deep at most: what was read is copied,
  /// written and destroyed recursively, which must not use up the stack.
  static Json parse(std::string_view text);
  /// null for what parse() rejects.
  static Json parse_or_null(std::string_view text);

  /// Of bytes in strings that are not UTF-8: U+FFFD in their place, or a JsonError.
  enum class Invalid { replace, reject };
  /// On one line, or with a line for each member and element, indented by so many spaces a level. Every number reads
  /// back exactly; one that is not finite becomes null.
  std::string dump(int indent = -1, Invalid invalid = Invalid::replace) const;

  bool is_null() const { return value_.index() == 0; }
  bool is_integer() const { return is<int64_t>() || is<uint64_t>(); }
  /// An integer that is not negative.
  bool is_unsigned() const { return is<uint64_t>() || (is<int64_t>() && std::get<int64_t>(value_) >= 0); }
  bool is_number() const { return is_integer() || is<double>(); }
  bool is_string() const { return is<std::string>(); }
  bool is_array() const { return is<Array>(); }
  bool is_object() const { return is<Object>(); }
  /// "null", "boolean", "number", "string", "array" or "object".
  const char* type_name() const;

  // Each throws JsonError where the value is of another type.
  const std::string& string() const;
  const Array& array() const;
  const Object& object() const;
  Array& array();
  Object& object();
  /// Any number; an integer beyond 2^53 is rounded.
  double number() const;
  void get_to(bool& to) const;
  void get_to(int64_t& to) const;
  void get_to(uint64_t& to) const;
  void get_to(double& to) const { to = number(); }
  void get_to(std::string& to) const { to = string(); }
  template <class T>
  void get_to(std::vector<T>& to) const {
    to.clear();
    for (const Json& item : array()) to.push_back(item.get<T>());
  }
  template <class T>
  T get() const {
    T value{};
    get_to(value);
    return value;
  }

  /// The member of this name; null where there is none, and in what is no object. Looks at one member after the other.
  const Json* find(std::string_view key) const;
  /// Throws JsonError where there is none.
  const Json& at(std::string_view key) const;

  /// Numbers are equal by value, whatever their types; objects, with equal members in the same order.
  friend bool operator==(const Json& a, const Json& b);

 private:
  template <class T>
  bool is() const {
    return std::holds_alternative<T>(value_);
  }
  template <class T>
  const T& checked(const char* expected) const;

  // uint64_t only where int64_t is too small.
  std::variant<std::nullptr_t, bool, int64_t, uint64_t, double, std::string, Array, Object> value_ = nullptr;
};

}  // namespace gradus
