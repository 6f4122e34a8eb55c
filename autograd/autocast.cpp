#include "autograd/autocast.h"

#include <mutex>
#include <utility>

#include "core/accelerator.h"
#include "core/error.h"
#include "core/ops.h"

namespace gradus {
namespace {

thread_local bool bfloat16_scope = false;

bool checked(DType dtype) {
  if (dtype == DType::float32) return false;
  if (dtype != DType::bfloat16)
    fail(ErrorKind::value, "autocast", "computes in bfloat16, or in float32 as without it, got ", dtype);
  if (has_fast(DType::bfloat16)) return true;
  if (device_name() != "cpu")
    fail(ErrorKind::device, "autocast", "no bfloat16 on ", describe_device(),
         "; compute in float32, in programs without --amp");
  static std::once_flag told;
  std::call_once(told, [] {
    warn(
        text("bfloat16 saves memory here, not time: without AVX-512 BF16 or AMX its products are computed in float32 (",
             describe_device(), ")"));
  });
  return true;
}

}  // namespace

Autocast::Autocast(DType dtype) : before_(std::exchange(bfloat16_scope, checked(dtype))) {}
Autocast::~Autocast() { bfloat16_scope = before_; }

bool autocasting() { return bfloat16_scope; }

DType parse_amp(std::string_view name) {
  if (name == "none") return DType::float32;
  if (name == "bf16") return DType::bfloat16;
  fail(ErrorKind::value, "autocast", "expects none or bf16, got '", name, "'");
}

bool rounds(const Var& x) { return bfloat16_scope && x.dtype() == DType::float32; }
bool widens(const Var& x) { return bfloat16_scope && x.dtype() == DType::bfloat16; }
bool mixed(const Var& a, const Var& b) {
  return a.dtype() != b.dtype() && ((rounds(a) && widens(b)) || (widens(a) && rounds(b)));
}

}  // namespace gradus
