// Work that nobody waits for soon, beside the work that others wait for, on a stream of its own.
#pragma once

#include <functional>
#include <vector>

#include "core/tensor.h"

namespace gradus::cuda {

/// What work beside other work uses; tensors may be undefined.
struct Uses {
  std::vector<Tensor> read, written;
};

/// Does both. Neither reads what the other writes. In captured work `second` runs beside `first` and beside what
/// follows, as far as that leaves alone what `second` uses: whoever accesses a tensor that it writes, or writes one
/// that it reads, comes after it, and so does all work after device::finish_beside() and the end of a recording. All
/// tensors that `second` uses are among `uses`, but for those that it makes.
void side_by_side(const std::function<void()>& first, const std::function<void()>& second, const Uses& uses);

/// Does `work` beside what follows, in the same manner, captured or not; in order where captured work, whose replays
/// wait for nobody, uses the same tensors. It makes no tensors and gives no memory back; `scratch`, as it is then,
/// stays until it is done.
void later(const std::function<void()>& work, const Uses& uses, const std::vector<Storage>& scratch);

/// How it is done. Work between these two runs beside, after all that came before.
void begin_beside();
void end_beside();
/// What comes from now on waits for that work.
void join_beside();

}  // namespace gradus::cuda
