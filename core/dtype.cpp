#include "core/dtype.h"

#include <ostream>

namespace gradus {

const char* name(DType dtype) {
  switch (dtype) {
    case DType::float32: return "float32";
    case DType::float64: return "float64";
    case DType::int32: return "int32";
    case DType::int64: return "int64";
    case DType::uint8: return "uint8";
    case DType::boolean: return "bool";
    case DType::bfloat16: return "bfloat16";
  }
  return "unknown";
}

std::string to_string(DType dtype) { return name(dtype); }

std::ostream& operator<<(std::ostream& out, DType dtype) { return out << name(dtype); }

}  // namespace gradus
