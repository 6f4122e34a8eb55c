#include "core/error.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace gradus {
namespace {

std::string on_one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
  return text;
}

}  // namespace

Error::Error(ErrorKind kind, std::string text) : std::runtime_error(on_one_line(std::move(text))), kind_(kind) {}

namespace detail {

void append_number(std::string& out, int64_t number) { out += std::to_string(number); }

void append_number(std::string& out, uint64_t number) { out += std::to_string(number); }

void append_number(std::string& out, double number) {
  char digits[32];
  out.append(digits, static_cast<size_t>(std::snprintf(digits, sizeof digits, "%g", number)));
}

}  // namespace detail
}  // namespace gradus
