// The one exception type of the library, and helpers that build its messages: `[op] what was expected, what came, a
// hint`.
#pragma once

#include <concepts>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace gradus {

enum class ErrorKind { shape, dtype, device, value, io, backend };

/// What every failed call of the library throws. A failed call leaves its outputs as they were. The text is one line:
/// of control characters, which a damaged file may bring into it, it shows '?'.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, std::string text);
  ErrorKind kind() const noexcept { return kind_; }

 private:
  ErrorKind kind_;
};

namespace detail {
void append_number(std::string& out, int64_t number);
void append_number(std::string& out, uint64_t number);
void append_number(std::string& out, double number);

template <class T>
void append(std::string& out, const T& value) {
  if constexpr (std::convertible_to<const T&, std::string_view>)
    out += std::string_view(value);
  else if constexpr (std::same_as<T, char>)
    out += value;
  else if constexpr (std::floating_point<T>)
    append_number(out, static_cast<double>(value));
  else if constexpr (std::is_unsigned_v<T>)
    append_number(out, static_cast<uint64_t>(value));
  else if constexpr (std::integral<T>)
    append_number(out, static_cast<int64_t>(value));
  else
    out += to_string(value);
}
}  // namespace detail

/// The arguments one after another as a string: strings, characters, integers, real numbers with six digits, and
/// whatever has a to_string().
template <class... Args>
std::string text(const Args&... args) {
  std::string out;
  (detail::append(out, args), ...);
  return out;
}

/// Throws Error(kind, "[op] args...").
template <class... Args>
[[noreturn]] void fail(ErrorKind kind, std::string_view op, const Args&... args) {
  throw Error(kind, text("[", op, "] ", args...));
}

}  // namespace gradus
