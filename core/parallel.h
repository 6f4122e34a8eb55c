// How work is spread over threads. One setting for the whole process; results depend on it and on nothing else.
#pragma once

#include <cstdint>
#include <type_traits>

namespace gradus {

/// Threads that kernels use: 1 to 1024, or to OMP_THREAD_LIMIT where that is less. The default is OpenMP's:
/// OMP_NUM_THREADS, or the number of cores that the process may run on.
void set_num_threads(int threads);
int num_threads();
/// Those for a kernel that this thread calls now: 1 inside a parallel region, also one of the program's own.
int threads_here();

namespace detail {
using RangeBody = void (*)(void* context, int64_t begin, int64_t end);
void run_ranges(int64_t count, int64_t grain, RangeBody body, void* context);
}  // namespace detail

/// Calls body(begin, end) on at most num_threads() equal, disjoint ranges that cover [0, count), each of at least
/// `grain` elements; on the calling thread alone where count <= grain. The split is a pure function of (count, grain,
/// threads).
template <class Body>
void parallel_for(int64_t count, int64_t grain, Body&& body) {
  using Target = std::remove_reference_t<Body>;
  detail::run_ranges(
      count, grain, [](void* context, int64_t begin, int64_t end) { (*static_cast<Target*>(context))(begin, end); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace gradus
