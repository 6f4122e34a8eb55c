#include "core/cuda/side_stream.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "core/cuda/launch.h"
#include "core/kernels.h"

namespace gradus {
namespace {

/// Since the last join.
struct Pending {
  std::recursive_mutex mutex;      // to mark a storage may be to access it
  std::vector<Storage> storages;   // that the side stream's work uses
  std::optional<HeldMemory> held;  // in a recording: what is given back may still be in use
};
Pending& pending() {
  static Pending* const all = new Pending;  // outlives every static Storage
  return *all;
}

constexpr size_t most_held = size_t{1} << 30;

struct OnSideStream {
  OnSideStream() { cuda::begin_side_stream(); }
  ~OnSideStream() { cuda::end_side_stream(); }
  OnSideStream(const OnSideStream&) = delete;
  OnSideStream& operator=(const OnSideStream&) = delete;
};

void start(const std::function<void()>& work, const cuda::Uses& uses) {
  for (const Tensor& x : uses.read)
    if (x.defined()) x.raw();  // waits for earlier work that writes it
  for (const Tensor& x : uses.written)
    if (x.defined()) x.storage().wait_for_readers();
  // After those waits: they end a hold that there was.
  if (cuda::recorded_steps() && !pending().held) pending().held.emplace();
  try {
    const OnSideStream scope;
    work();
  } catch (...) {
    if (!cuda::recorded_steps()) cuda::join_side_stream();  // nothing is marked; a recording joins at its end
    throw;
  }
  const auto mark = [](const std::vector<Tensor>& tensors, Storage::Pending how) {
    for (const Tensor& x : tensors) {
      if (!x.defined()) continue;
      x.storage().set_pending(how);
      pending().storages.push_back(x.storage());
    }
  };
  mark(uses.read, Storage::Pending::reads);
  mark(uses.written, Storage::Pending::writes);
}

}  // namespace

void cuda::overlap(const std::function<void()>& first, const std::function<void()>& second, const Uses& uses) {
  if (!recorded_steps()) {
    first();
    return second();
  }
  start(second, uses);
  first();
  const std::optional<HeldMemory>& held = pending().held;
  if (held && held->bytes() > most_held) device::finish_side_stream();
}

void cuda::run_on_side_stream(const std::function<void()>& work, const Uses& uses,
                              const std::vector<Storage>& scratch) {
  if (recorded_steps()) return overlap([] {}, work, uses);
  const auto captured = [](const std::vector<Tensor>& tensors) {
    return std::any_of(tensors.begin(), tensors.end(),
                       [](const Tensor& x) { return x.defined() && x.storage().captured(); });
  };
  if (captured(uses.read) || captured(uses.written)) return work();
  const std::lock_guard lock(pending().mutex);
  start(work, uses);
  pending().storages.insert(pending().storages.end(), scratch.begin(), scratch.end());
}

void device::finish_side_stream() {
  const std::lock_guard lock(pending().mutex);
  if (pending().storages.empty() && !pending().held) return;
  cuda::join_side_stream();
  for (const Storage& storage : std::exchange(pending().storages, {})) storage.set_pending(Storage::Pending::nothing);
  pending().held.reset();
}

}  // namespace gradus
