#include "core/error.h"

#include <cstdio>

namespace gradus::detail {

void append_number(std::string& out, int64_t number) { out += std::to_string(number); }

void append_number(std::string& out, uint64_t number) { out += std::to_string(number); }

void append_number(std::string& out, double number) {
  char digits[32];
  out.append(digits, static_cast<size_t>(std::snprintf(digits, sizeof digits, "%g", number)));
}

}  // namespace gradus::detail
