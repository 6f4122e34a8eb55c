// Work that nobody waits for soon, beside the work that others wait for. In captured work alone, where it has a stream
// of its own.
#pragma once

#include <functional>
#include <initializer_list>

#include "core/tensor.h"

namespace gradus::cuda {

/// Does both. Neither reads what the other writes. In captured work `second` runs beside `first` and beside what
/// follows, as far as that leaves alone what `second` reads and writes: whoever accesses a tensor of `written`, or
/// writes one of `read`, comes after it, and so does all work after device::finish_beside() and the end of a recording.
/// All tensors that `second` uses are among the two, but for those that it makes.
void side_by_side(const std::function<void()>& first, const std::function<void()>& second,
                  std::initializer_list<const Tensor*> read, std::initializer_list<const Tensor*> written);

/// How a recording does it. Work between these two runs beside, after all that was recorded before.
void begin_beside();
void end_beside();
/// What is recorded from now on waits for that work.
void join_beside();

}  // namespace gradus::cuda
