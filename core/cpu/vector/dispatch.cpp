// The choice among the builds of the vector kernels.
#include "core/cpu/isa.h"
#include "core/cpu/vector/kernels.h"

namespace gradus::cpu::vector {

#define GRADUS_DECLARE_BUILD(isa) \
  namespace isa {                 \
  void add_elementwise(Kernels&); \
  void add_gemv(Kernels&);        \
  void add_matmul(Kernels&);      \
  void add_norm(Kernels&);        \
  void add_optim(Kernels&);       \
  void add_random(Kernels&);      \
  void add_reduce(Kernels&);      \
  }
GRADUS_DECLARE_BUILD(baseline)
#if defined(__x86_64__)
GRADUS_DECLARE_BUILD(v3)
GRADUS_DECLARE_BUILD(v4)
#endif
#undef GRADUS_DECLARE_BUILD

namespace {

Kernels build(Isa isa) {
  Kernels table{};
#define GRADUS_USE_BUILD(isa)                                                                       \
  (isa::add_elementwise(table), isa::add_gemv(table), isa::add_matmul(table), isa::add_norm(table), \
   isa::add_optim(table), isa::add_random(table), isa::add_reduce(table))
  switch (isa) {
#if defined(__x86_64__)
    case Isa::v4: GRADUS_USE_BUILD(v4); break;
    case Isa::v3: GRADUS_USE_BUILD(v3); break;
#else
    case Isa::v4:
    case Isa::v3:
#endif
    case Isa::baseline: GRADUS_USE_BUILD(baseline); break;
  }
#undef GRADUS_USE_BUILD
  return table;
}

}  // namespace

const Kernels& kernels() {
  static const Kernels best = build(isa());
  return best;
}

namespace {

/// Made at its first use: making it already runs instructions of that set.
template <Isa isa>
const Kernels& table() {
  static const Kernels built = build(isa);
  return built;
}

}  // namespace

const Kernels& kernels(Isa isa) {
  switch (isa) {
    case Isa::v4: return table<Isa::v4>();
    case Isa::v3: return table<Isa::v3>();
    case Isa::baseline: break;
  }
  return table<Isa::baseline>();
}

}  // namespace gradus::cpu::vector
