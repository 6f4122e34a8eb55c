#include "core/cuda/beside.h"

#include <optional>
#include <utility>
#include <vector>

#include "core/cuda/launch.h"
#include "core/kernels.h"

namespace gradus {
namespace {

/// Since the last join. What is given back meanwhile may be in use beside.
std::optional<HeldMemory> held;
std::vector<Storage> used;

constexpr size_t most_held = size_t{1} << 30;

struct Beside {
  Beside() { cuda::begin_beside(); }
  ~Beside() { cuda::end_beside(); }
  Beside(const Beside&) = delete;
  Beside& operator=(const Beside&) = delete;
};

void use(const Tensor& x, Storage::Beside how) {
  if (!x.defined()) return;
  x.storage().set_beside(how);
  used.push_back(x.storage());
}

}  // namespace

void cuda::side_by_side(const std::function<void()>& first, const std::function<void()>& second,
                        std::initializer_list<const Tensor*> read, std::initializer_list<const Tensor*> written) {
  if (!recorded_steps()) {
    first();
    return second();
  }
  for (const Tensor* x : read)
    if (x->defined()) x->raw();  // another's work beside that writes it ends first
  for (const Tensor* x : written)
    if (x->defined()) x->storage().wait_for_readers();
  if (!held) held.emplace();
  {
    const Beside beside;
    second();
  }
  for (const Tensor* x : read) use(*x, Storage::Beside::reads);
  for (const Tensor* x : written) use(*x, Storage::Beside::writes);
  first();
  if (held && held->bytes() > most_held) device::finish_beside();
}

void device::finish_beside() {
  if (!held) return;
  cuda::join_beside();
  for (const Storage& storage : std::exchange(used, {})) storage.set_beside(Storage::Beside::nothing);
  held.reset();
}

}  // namespace gradus
