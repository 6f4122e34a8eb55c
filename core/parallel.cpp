#include "core/parallel.h"

#include <omp.h>

#include <algorithm>
#include <exception>

#include "core/error.h"

namespace gradus {
namespace {

int& thread_setting() {
  static int threads = std::max(1, omp_get_max_threads());
  return threads;
}

}  // namespace

void set_num_threads(int threads) {
  constexpr int most = 1024;
  if (threads > most) fail(ErrorKind::value, "set_num_threads", "at most ", most, " threads, got ", threads);
  thread_setting() = std::max(1, threads);
  omp_set_num_threads(thread_setting());
}

int num_threads() { return thread_setting(); }

namespace detail {

void run_ranges(int64_t count, int64_t grain, RangeBody body, void* context) {
  if (count <= 0) return;
  const int64_t wanted = std::min<int64_t>(num_threads(), count / std::max<int64_t>(grain, 1));
  if (wanted <= 1 || omp_in_parallel()) return body(context, 0, count);
  const int ranges = static_cast<int>(wanted);
  std::exception_ptr error;
#pragma omp parallel for num_threads(ranges) schedule(static, 1)
  for (int i = 0; i < ranges; ++i) {
    try {
      body(context, count * i / ranges, count * (i + 1) / ranges);
    } catch (...) {
#pragma omp critical(gradus_parallel_error)
      error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace detail
}  // namespace gradus
