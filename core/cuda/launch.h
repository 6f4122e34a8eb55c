// How kernels are written and started here. A kernel is a plain struct that is copied to the device; its call operator
// does the work of one index, or of one thread of a block (or one warp, see warp.h) in one phase. nvcc makes device
// kernels of the launchers below. Any other compiler makes loops of them that run the very same structs on the host: so
// they are tested where there is no GPU (tests/cuda).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "core/allocator.h"
#include "core/anywhere.h"
#include "core/error.h"

namespace gradus::cuda {

inline constexpr int threads_per_block = 256;

/// How many groups of `by` hold n.
constexpr int64_t divided_up(int64_t n, int64_t by) { return (n + by - 1) / by; }

/// What a thread of a block keeps from phase to phase: nothing, but for a Body::Local.
template <class Body>
struct LocalMemory {
  struct Type {};
};
template <class Body>
requires requires { typename Body::Local; }
struct LocalMemory<Body> {
  using Type = typename Body::Local;
};
template <class Body>
using LocalOf = typename LocalMemory<Body>::Type;

/// How many threads do the work of one call: a warp's where a Body says `by_warp`.
template <class Body>
constexpr int threads_per_call() {
  if constexpr (requires { Body::by_warp; })
    return Body::by_warp ? 32 : 1;
  else
    return 1;
}

template <class Body>
GRADUS_ANYWHERE void run_phase(const Body& body, int phase, int64_t block, int thread, typename Body::Shared& shared,
                               LocalOf<Body>& local) {
  if constexpr (requires { typename Body::Local; })
    body(phase, block, thread, shared, local);
  else
    body(phase, block, thread, shared);
}

#ifdef __CUDACC__

/// Throws if the launch before it failed.
void check_launch();
/// Lets a kernel ask for so many bytes of shared memory.
void allow_shared(const void* kernel, size_t bytes);
/// The library's one stream, as the runtime's handle.
cudaStream_t current_stream();

template <class Body>
__global__ void __launch_bounds__(threads_per_block) run_each(const Body body, int64_t count) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * threads_per_block;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * threads_per_block + threadIdx.x; i < count; i += step) body(i);
}

/// How many blocks of this kernel shall have room on a multiprocessor at a time, which limits their registers: a
/// Body::resident where there is one; 0 leaves it to the compiler.
template <class Body>
constexpr int resident_blocks() {
  if constexpr (requires { Body::resident; })
    return Body::resident;
  else
    return 0;
}

template <class Body>
__device__ void run_block_loop(const Body& body, int64_t blocks, typename Body::Shared& shared) {
  const int phases = body.phases();
  for (int64_t block = blockIdx.x; block < blocks; block += gridDim.x) {
    LocalOf<Body> local;
    for (int phase = 0; phase < phases; ++phase) {
      run_phase(body, phase, block, static_cast<int>(threadIdx.x) / threads_per_call<Body>(), shared, local);
      __syncthreads();  // also between the last phase and the next block, which uses the same memory
    }
  }
}

/// Bytes of shared memory that a kernel has without asking.
inline constexpr size_t usual_shared = 48 << 10;

template <class Body>
__global__ void __launch_bounds__(threads_per_block, resident_blocks<Body>())
    run_blocks(const Body body, int64_t blocks) {
  if constexpr (sizeof(typename Body::Shared) > usual_shared) {
    extern __shared__ int4 asked_for[];
    run_block_loop(body, blocks, *reinterpret_cast<typename Body::Shared*>(asked_for));
  } else {
    __shared__ typename Body::Shared shared;
    run_block_loop(body, blocks, shared);
  }
}

/// Bytes that a launch asks for.
template <class Body>
size_t shared_to_ask() {
  constexpr size_t bytes = sizeof(typename Body::Shared);
  if constexpr (bytes <= usual_shared) return 0;
  static const bool allowed = (allow_shared(reinterpret_cast<const void*>(&run_blocks<Body>), bytes), true);
  return allowed ? bytes : 0;
}

inline constexpr int64_t most_blocks = int64_t{1} << 20;

/// body(i) for every i of [0, count), in any order and at the same time.
template <class Body>
void for_each(int64_t count, const Body& body) {
  if (count <= 0) return;
  const int64_t blocks = std::min(most_blocks, divided_up(count, threads_per_block));
  run_each<<<static_cast<unsigned>(blocks), threads_per_block, 0, current_stream()>>>(body, count);
  check_launch();
}

/// For every block: body(phase, block, thread, shared) for each phase in turn, all threads of the block at the same
/// time. Body::Shared is uninitialised memory that the threads of a block share. Nothing else outlives a phase, but for
/// a Body::Local, where there is one: uninitialised memory of each thread, handed over after `shared`.
template <class Body>
void for_each_block(int64_t blocks, const Body& body) {
  if (blocks <= 0) return;
  run_blocks<<<static_cast<unsigned>(std::min(most_blocks, blocks)), threads_per_block, shared_to_ask<Body>(),
               current_stream()>>>(body, blocks);
  check_launch();
}

#else

/// What is recorded in place of being done; null: nothing is recorded.
inline std::vector<std::function<void()>>* recorded = nullptr;

template <class Work>
void do_or_record(const Work& work) {
  if (recorded)
    recorded->push_back(work);
  else
    work();
}

/// The order of indices, blocks and threads on the host. A kernel whose result depends on it has a race.
enum class Order : uint8_t { forward, backward };
inline Order order = Order::forward;
inline int64_t launches = 0;

template <class Body>
void in_order(int64_t count, const Body& body) {
  for (int64_t i = 0; i < count; ++i) body(order == Order::forward ? i : count - 1 - i);
}

template <class Body>
void for_each(int64_t count, const Body& body) {
  do_or_record([=] {
    ++launches;
    in_order(count, body);
  });
}

template <class Body>
void for_each_block(int64_t blocks, const Body& body) {
  do_or_record([=] {
    ++launches;
    const auto shared = std::make_unique<typename Body::Shared>();
    const auto local = std::make_unique<LocalOf<Body>[]>(threads_per_block);
    in_order(blocks, [&](int64_t block) {
      std::memset(static_cast<void*>(shared.get()), 0xff, sizeof *shared);  // NaN
      std::memset(static_cast<void*>(local.get()), 0xff, sizeof(LocalOf<Body>) * threads_per_block);
      for (int phase = 0; phase < body.phases(); ++phase)
        in_order(threads_per_block / threads_per_call<Body>(), [&](int64_t thread) {
          run_phase(body, phase, block, static_cast<int>(thread), *shared, local[static_cast<size_t>(thread)]);
        });
    });
  });
}

#endif

/// Bytes of shared memory that a block can ask for on this GPU.
size_t most_shared();

/// While work is recorded, the steps by which random keys that advance will be later; null otherwise.
const int64_t* recorded_steps();

/// Throws while work is recorded, by whichever thread: all work goes to the one stream, and so into the recording.
inline void check_not_recording(const char* op) {
  if (recorded_steps())
    fail(ErrorKind::device, op,
         "waits for the device, reads from it or sends it a value while work is captured, by this "
         "thread or another; captured work cannot repeat that");
}

/// Counts beginnings and ends of recordings, and replays. What was computed before one of them may not hold after it:
/// recorded work is done again when its operands have changed, and a replay writes without counting versions.
int64_t recording_events();

/// What is being recorded keeps this memory from now on.
void keep_while_recorded(const Storage& memory);

/// Sets bytes of device memory to zero, or copies between disjoint places in it.
void zero_bytes(void* to, size_t bytes);
void copy_bytes(void* to, const void* from, size_t bytes);

}  // namespace gradus::cuda
