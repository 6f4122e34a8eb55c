#include "core/parallel.h"

#include <omp.h>

#include <algorithm>
#include <exception>

#include "core/error.h"

namespace gradus {
namespace {

int most_threads() { return std::min(1024, omp_get_thread_limit()); }

int& thread_setting() {
  static int threads = std::clamp(omp_get_max_threads(), 1, most_threads());
  return threads;
}

}  // namespace

void set_num_threads(int threads) {
  const int most = most_threads();
  if (threads < 1 || threads > most)
    fail(ErrorKind::value, "set_num_threads", "takes 1 to ", most, " threads",
         most == omp_get_thread_limit() ? " (OMP_THREAD_LIMIT)" : "", ", got ", threads);
  thread_setting() = threads;
  omp_set_num_threads(threads);
}

int num_threads() { return thread_setting(); }
int threads_here() { return omp_in_parallel() ? 1 : num_threads(); }

namespace detail {

void run_ranges(int64_t count, int64_t grain, RangeBody body, void* context) {
  if (count <= 0) return;
  const int64_t wanted = std::min<int64_t>(threads_here(), count / std::max<int64_t>(grain, 1));
  if (wanted <= 1) return body(context, 0, count);
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
