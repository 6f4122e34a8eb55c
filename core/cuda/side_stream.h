// A second stream of the device, the side stream, for work whose results are not needed soon: it overlaps with what
// others wait for.
#pragma once

#include <functional>
#include <vector>

#include "core/tensor.h"

namespace gradus::cuda {

/// What work on the side stream uses; tensors may be undefined.
struct Uses {
  std::vector<Tensor> read, written;
};

/// Does both, of which neither reads what the other writes. In captured work `second` goes to the side stream and
/// overlaps with `first` and with what follows, as far as that leaves alone what `second` uses: whoever accesses a
/// tensor that it writes, or writes one that it reads, comes after it, and so does all work after
/// device::finish_side_stream() and the end of a recording. All tensors that `second` uses are among `uses`, but for
/// those that it makes.
void overlap(const std::function<void()>& first, const std::function<void()>& second, const Uses& uses);

/// Does `work` on the side stream, captured or not, so that it overlaps with what follows in the same manner; in order
/// where captured work, whose replays wait for nobody, uses the same tensors. It makes no tensors and gives no memory
/// back; `scratch`, as it is then, stays until it is done.
void run_on_side_stream(const std::function<void()>& work, const Uses& uses, const std::vector<Storage>& scratch);

// How it is done:
/// Work between these two goes to the side stream, after all that came before.
void begin_side_stream();
void end_side_stream();
/// What comes from now on waits for that work.
void join_side_stream();

}  // namespace gradus::cuda
