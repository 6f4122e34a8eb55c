// The one exception type of the library, and helpers that build its messages: `[op] what was expected, what came, a hint`.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace gradus {

enum class ErrorKind { shape, dtype, device, value, io, backend };

/// What every failed call of the library throws. A failed call leaves its outputs as they were.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& text) : std::runtime_error(text), kind_(kind) {}
  ErrorKind kind() const noexcept { return kind_; }

 private:
  ErrorKind kind_;
};

/// The arguments streamed one after another into a string.
template <class... Args>
std::string text(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return out.str();
}

/// Throws Error(kind, "[op] args...").
template <class... Args>
[[noreturn]] void fail(ErrorKind kind, std::string_view op, const Args&... args) {
  throw Error(kind, text("[", op, "] ", args...));
}

}  // namespace gradus
