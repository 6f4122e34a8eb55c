#include "core/json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "core/shortened.h"

namespace gradus {
namespace {

constexpr size_t deepest = 128;

/// What the parser of nlohmann::json calls for each part of the text: builds the value without its container.
class JsonBuilder {
 public:
  using number_integer_t = nlohmann::json::number_integer_t;
  using number_unsigned_t = nlohmann::json::number_unsigned_t;
  using number_float_t = nlohmann::json::number_float_t;
  using string_t = nlohmann::json::string_t;
  using binary_t = nlohmann::json::binary_t;

  Json take() { return std::move(root_); }

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(int64_t value) { return add(value); }
  bool number_unsigned(uint64_t value) { return add(value); }
  bool number_float(double value, const std::string&) { return add(value); }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(binary_t&) { return false; }  // not in text
  bool start_object(size_t) { return open(Json::Object()); }
  bool start_array(size_t) { return open(Json::Array()); }
  bool key(std::string& value) {
    key_ = std::move(value);
    return true;
  }
  bool end_array() {
    open_.pop_back();
    return true;
  }
  bool end_object() {
    std::vector<std::string_view> keys;
    for (const auto& [key, value] : open_.back()->object()) keys.push_back(key);
    std::sort(keys.begin(), keys.end());
    const auto twice = std::adjacent_find(keys.begin(), keys.end());
    if (twice != keys.end()) throw RepeatedKey(std::string(*twice));
    return end_array();
  }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception& error) {
    throw JsonError(shortened(error.what(), 300));
  }

 private:
  Json& place(Json value) {
    if (open_.empty()) return root_ = std::move(value);
    Json& in = *open_.back();
    return in.is_array() ? in.array().emplace_back(std::move(value))
                         : in.object().emplace_back(std::move(key_), std::move(value)).second;
  }
  bool add(Json value) {
    place(std::move(value));
    return true;
  }
  bool open(Json empty) {
    if (open_.size() == deepest)
      throw JsonError(text("[json] more than ", deepest, " arrays and objects stand inside each other"));
    open_.push_back(&place(std::move(empty)));
    return true;
  }

  Json root_;
  std::vector<Json*> open_;  ///< from the outermost on; only the last one grows, so none of them moves
  std::string key_;
};

class JsonWriter {
 public:
  JsonWriter(int indent, Json::Invalid invalid)
      : indent_(indent),
        on_invalid_(invalid == Json::Invalid::replace ? nlohmann::json::error_handler_t::replace
                                                      : nlohmann::json::error_handler_t::strict) {}

  std::string take() { return std::move(out_); }

  void write(const Json& value) {
    if (value.is_object())
      write_all(value.object(), '{', '}', [this](const Json::Member& member) {
        print(member.first);
        out_ += indent_ < 0 ? ":" : ": ";
        write(member.second);
      });
    else if (value.is_array())
      write_all(value.array(), '[', ']', [this](const Json& item) { write(item); });
    else if (value.is_string())
      print(value.string());
    else if (value.is_unsigned())
      print(value.get<uint64_t>());
    else if (value.is_integer())
      print(value.get<int64_t>());
    else if (value.is_number())
      print(value.number());
    else if (value.is_null())
      print(nullptr);
    else
      print(value.get<bool>());
  }

 private:
  void print(const nlohmann::json& value) { out_ += value.dump(-1, ' ', false, on_invalid_); }

  template <class Items, class Write>
  void write_all(const Items& items, char begin, char end, Write write_one) {
    out_ += begin;
    ++depth_;
    for (const auto& item : items) {
      if (&item != &items.front()) out_ += ',';
      break_line();
      write_one(item);
    }
    --depth_;
    if (!items.empty()) break_line();
    out_ += end;
  }
  void break_line() {
    if (indent_ >= 0) out_.append(1, '\n').append(static_cast<size_t>(indent_ * depth_), ' ');
  }

  int indent_, depth_ = 0;
  nlohmann::json::error_handler_t on_invalid_;
  std::string out_;
};

/// What a message calls it.
std::string shown(const Json& value) {
  return value.is_array() || value.is_object() ? text("an ", value.type_name()) : shortened(value.dump());
}

}  // namespace

RepeatedKey::RepeatedKey(const std::string& key)
    : JsonError(text("[json] an object has the key ", shown(key), " twice")), key_(shown(key)) {}

Json Json::parse(std::string_view text) {
  // For the parser a NUL is the end: it would take whatever follows.
  if (const size_t nul = text.find('\0'); nul != text.npos)
    throw JsonError(gradus::text("[json] parse error: byte ", nul + 1, " is NUL, which no JSON text has"));
  JsonBuilder builder;
  nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

Json Json::parse_or_null(std::string_view text) {
  try {
    return parse(text);
  } catch (const JsonError&) {
    return nullptr;
  }
}

std::string Json::dump(int indent, Invalid invalid) const {
  JsonWriter writer(indent, invalid);
  try {
    writer.write(*this);
  } catch (const nlohmann::json::exception& error) {
    throw JsonError(error.what());
  }
  return writer.take();
}

const char* Json::type_name() const {
  return is_null()     ? "null"
         : is_number() ? "number"
         : is_string() ? "string"
         : is_array()  ? "array"
         : is_object() ? "object"
                       : "boolean";
}

template <class T>
const T& Json::checked(const char* expected) const {
  if (const T* value = std::get_if<T>(&value_)) return *value;
  throw JsonError(text("[json] ", expected, " was expected, not ", shown(*this)));
}

const std::string& Json::string() const { return checked<std::string>("a string"); }
const Json::Array& Json::array() const { return checked<Array>("an array"); }
const Json::Object& Json::object() const { return checked<Object>("an object"); }
Json::Array& Json::array() { return const_cast<Array&>(std::as_const(*this).array()); }
Json::Object& Json::object() { return const_cast<Object&>(std::as_const(*this).object()); }

double Json::number() const {
  if (is<int64_t>()) return static_cast<double>(std::get<int64_t>(value_));
  if (is<uint64_t>()) return static_cast<double>(std::get<uint64_t>(value_));
  return checked<double>("a number");
}

void Json::get_to(bool& to) const { to = checked<bool>("true or false"); }

void Json::get_to(int64_t& to) const { to = checked<int64_t>("an integer below 2^63"); }

void Json::get_to(uint64_t& to) const {
  if (!is_unsigned()) checked<uint64_t>("a non-negative integer");
  to = is<uint64_t>() ? std::get<uint64_t>(value_) : static_cast<uint64_t>(std::get<int64_t>(value_));
}

const Json* Json::find(std::string_view key) const {
  if (const Object* members = std::get_if<Object>(&value_))
    for (const auto& [name, value] : *members)
      if (name == key) return &value;
  return nullptr;
}

const Json& Json::at(std::string_view key) const {
  object();
  if (const Json* found = find(key)) return *found;
  throw JsonError(text("[json] there is no ", shown(key)));
}

bool operator==(const Json& a, const Json& b) {
  if (a.value_.index() == b.value_.index()) return a.value_ == b.value_;
  return (a.is<double>() || b.is<double>()) && a.is_number() && b.is_number() && a.number() == b.number();
}

}  // namespace gradus
