// update_matrices(), the learning of all preconditioners' small matrices in one launch: a block of threads for each,
// and a table of pointers and coefficients that travels with the launch. Arithmetic is in double.
#include <algorithm>

#include "core/cuda/rule.h"
#include "core/kernels.h"

namespace gradus::kernels {
namespace {

using namespace cuda;

struct Entry {
  MatrixUpdate::Form form;
  bool through;
  DType type;
  int n;
  double norm, factor;
  const void* correlation;
  void *matrix, *p;
  double *q, *h;  // scratch [n, n]
  RuleStep rule;
};

constexpr size_t most_entries = 64;

struct UpdateMatrices {
  struct Shared {
    double squares[threads_per_block], products[threads_per_block];  // shares of <Q, Q> and <Q, C>
    double scale, part;                                              // norm / |Q|, <Q, C> / |Q|^2
  };
  Entry entry[most_entries];

  GRADUS_ANYWHERE int phases() const { return 7; }
  GRADUS_ANYWHERE void operator()(int phase, int64_t block, int thread, Shared& shared) const {
    const Entry& e = entry[block];
    switch (phase) {
      case 0:
        if (e.through) form_q(e, thread, shared);
        return;
      case 1:
        if (e.through && thread == 0) add(e, shared);
        return;
      case 2:  // all elements of h before M changes
        for (int at = thread; at < e.n * e.n; at += threads_per_block)
          e.h[at] = gradient(e, shared, at / e.n, at % e.n);
        return;
      case 3:
        for (int at = thread; at < e.n * e.n; at += threads_per_block)
          e.rule.step(e.factor * e.h[at], e.matrix, e.type, at);
        return;
      case 4:
        if (e.p) form_q(e, thread, shared);
        return;
      case 5:
        if (e.p && e.norm > 0 && thread == 0) add(e, shared);
        return;
      default:
        if (!e.p) return;
        const double k = e.norm > 0 ? shared.scale : 1;
        for (int at = thread; at < e.n * e.n; at += threads_per_block) store<double>(e.p, e.type, at, k * e.q[at]);
    }
  }

  GRADUS_ANYWHERE static bool is_product(const Entry& e) {
    return e.form == MatrixUpdate::Form::product || e.form == MatrixUpdate::Form::product_plus;
  }

  /// Q of the current M, and this thread's share of the sums.
  GRADUS_ANYWHERE static void form_q(const Entry& e, int thread, Shared& shared) {
    double squares = 0, products = 0;
    for (int at = thread; at < e.n * e.n; at += threads_per_block) {
      const int i = at / e.n, j = at % e.n;
      double q = 0;
      if (is_product(e)) {
        q = e.form == MatrixUpdate::Form::product_plus && i == j ? 1 : 0;
        for (int k = 0; k < e.n; ++k)
          q += load<double>(e.matrix, e.type, i * e.n + k) * load<double>(e.matrix, e.type, j * e.n + k);
      } else {
        q = load<double>(e.matrix, e.type, at);
        if (e.form == MatrixUpdate::Form::symmetric) q = (q + load<double>(e.matrix, e.type, j * e.n + i)) / 2;
      }
      e.q[at] = q;
      squares += q * q;
      products += q * load<double>(e.correlation, e.type, at);
    }
    shared.squares[thread] = squares;
    shared.products[thread] = products;
  }

  GRADUS_ANYWHERE static void add(const Entry& e, Shared& shared) {
    double squares = 0, products = 0;
    for (int thread = 0; thread < threads_per_block; ++thread) {
      squares += shared.squares[thread];
      products += shared.products[thread];
    }
    shared.scale = e.norm / std::sqrt(squares);
    shared.part = products / squares;
  }

  /// C, or what it becomes through the norm.
  GRADUS_ANYWHERE static double carried(const Entry& e, const Shared& shared, int i, int j) {
    const auto c = load<double>(e.correlation, e.type, i * e.n + j);
    return e.through ? shared.scale * (c - shared.part * e.q[i * e.n + j]) : c;
  }

  GRADUS_ANYWHERE static double gradient(const Entry& e, const Shared& shared, int i, int j) {
    if (e.form == MatrixUpdate::Form::plain) return carried(e, shared, i, j);
    const auto both = [&](int i, int j) { return carried(e, shared, i, j) + carried(e, shared, j, i); };
    if (e.form == MatrixUpdate::Form::symmetric) return both(i, j) / 2;
    double sum = 0;
    for (int k = 0; k < e.n; ++k) sum += both(i, k) * load<double>(e.matrix, e.type, k * e.n + j);
    return sum;
  }
};
static_assert(sizeof(UpdateMatrices) < 32000);

}  // namespace

void update_matrices(std::span<const MatrixUpdate> matrices) {
  while (!matrices.empty()) {
    const auto some = matrices.first(std::min(matrices.size(), most_entries));
    size_t elements = 0;
    for (const MatrixUpdate& u : some) elements += static_cast<size_t>(u.correlation->numel());
    const Storage scratch = Storage::allocate(2 * elements * sizeof(double));
    auto* room = static_cast<double*>(scratch.data());
    UpdateMatrices work{};
    Entry* to = work.entry;
    for (const MatrixUpdate& u : some) {
      const int64_t count = u.correlation->numel();
      *to++ = {.form = u.form,
               .through = u.norm > 0 && u.through,
               .type = u.matrix->dtype(),
               .n = static_cast<int>(u.correlation->shape()[0]),
               .norm = u.norm,
               .factor = u.factor,
               .correlation = u.correlation->raw(),
               .matrix = u.matrix->raw(),
               .p = u.p ? u.p->raw() : nullptr,
               .q = room,
               .h = room + count,
               .rule = RuleStep(u.rule)};
      room += 2 * count;
    }
    for_each_block(static_cast<int64_t>(some.size()), work);
    matrices = matrices.subspan(some.size());
  }
}

}  // namespace gradus::kernels
