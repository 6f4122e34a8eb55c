// The learning of all preconditioners' small matrices in one launch: a block of threads for each, and a table of pointers
// and coefficients that travels with the launch. Arithmetic is in double.
#include "core/cuda/matrices.h"

#include <algorithm>
#include <vector>

#include "core/cuda/rule.h"
#include "core/kernels.h"

namespace gradus::cuda {
namespace {

struct Entry {
  MatrixUpdate::Form form;
  bool through;
  DType type;
  int n;
  double norm, factor;
  Parts parts;  // of the correlation
  void *correlation, *matrix, *p;
  double *q, *h;  // scratch [n, n]
  RuleStep rule;
};

constexpr size_t most_entries = 64;

struct UpdateMatrices {
  struct Shared {
    double part_sums[threads_per_block];
    double squares[threads_per_block], products[threads_per_block];  // shares of <Q, Q> and <Q, C>
    double scale, part;                                              // norm / |Q|, <Q, C> / |Q|^2
  };
  Entry entry[most_entries];

  GRADUS_ANYWHERE int phases() const { return 9; }
  GRADUS_ANYWHERE void operator()(int phase, int64_t block, int thread, Shared& shared) const {
    const Entry& e = entry[block];
    switch (phase) {
      case 0:
        if (e.parts.parts) add_parts(e, thread, shared);
        return;
      case 1:
        if (e.parts.parts) add_lanes(e, thread, shared);
        return;
      case 2:
        if (e.through) form_q(e, thread, shared);
        return;
      case 3:
        if (e.through && thread == 0) add(e, shared);
        return;
      case 4:  // all elements of h before M changes
        for (int at = thread; at < e.n * e.n; at += threads_per_block)
          e.h[at] = gradient(e, shared, at / e.n, at % e.n);
        return;
      case 5:
        for (int at = thread; at < e.n * e.n; at += threads_per_block) step(e, at);
        return;
      case 6:
        if (e.p) form_q(e, thread, shared);
        return;
      case 7:
        if (e.p && e.norm > 0 && thread == 0) add(e, shared);
        return;
      default:
        if (!e.p) return;
        const double k = e.norm > 0 ? shared.scale : 1;
        for (int at = thread; at < e.n * e.n; at += threads_per_block) store<double>(e.p, e.type, at, k * e.q[at]);
    }
  }

  /// How many threads share an element of the correlation.
  GRADUS_ANYWHERE static int lanes(int elements) { return elements < threads_per_block ? threads_per_block / elements : 1; }

  GRADUS_ANYWHERE static void add_parts(const Entry& e, int thread, Shared& shared) {
    const int elements = e.n * e.n, lanes = UpdateMatrices::lanes(elements);
    for (int at = thread % elements, lane = thread / elements; at < elements && lane < lanes; at += threads_per_block) {
      constexpr int at_once = 8;  // loads under way
      double sums[at_once] = {};
      for (int64_t part = lane; part < e.parts.count; part += at_once * lanes)
        GRADUS_UNROLL
        for (int k = 0; k < at_once; ++k)
          if (part + k * lanes < e.parts.count) sums[k] += e.parts.parts[(part + k * lanes) * elements + at];
      double sum = 0;
      GRADUS_UNROLL
      for (int k = 0; k < at_once; ++k) sum += sums[k];
      if (lanes == 1)
        store<double>(e.correlation, e.type, at, sum);
      else
        shared.part_sums[thread] = sum;  // thread = lane * elements + at
    }
  }

  GRADUS_ANYWHERE static void add_lanes(const Entry& e, int thread, Shared& shared) {
    const int elements = e.n * e.n, lanes = UpdateMatrices::lanes(elements);
    if (lanes == 1 || thread >= elements) return;
    double sum = 0;
    for (int lane = 0; lane < lanes; ++lane) sum += shared.part_sums[lane * elements + thread];
    store<double>(e.correlation, e.type, thread, sum);
  }

  GRADUS_ANYWHERE static void step(const Entry& e, int at) {
    const double along = e.factor * e.h[at];
    switch (e.type) {
      case DType::float64: return e.rule.step(along, static_cast<double*>(e.matrix), at);
      case DType::bfloat16: return e.rule.step(along, static_cast<bfloat16*>(e.matrix), at);
      default: return e.rule.step(along, static_cast<float*>(e.matrix), at);
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

void update_matrices(std::span<const MatrixUpdate> matrices, std::span<const Parts> parts) {
  while (!matrices.empty()) {
    const auto some = matrices.first(std::min(matrices.size(), most_entries));
    size_t elements = 0;
    for (const MatrixUpdate& u : some) elements += static_cast<size_t>(u.correlation->numel());
    const Storage scratch = Storage::allocate(2 * elements * sizeof(double));
    auto* room = static_cast<double*>(scratch.data());
    UpdateMatrices work{};
    for (size_t i = 0; i < some.size(); ++i) {
      const MatrixUpdate& u = some[i];
      const int64_t count = u.correlation->numel();
      work.entry[i] = {.form = u.form,
                       .through = u.norm > 0 && u.through,
                       .type = u.matrix->dtype(),
                       .n = static_cast<int>(u.correlation->shape()[0]),
                       .norm = u.norm,
                       .factor = u.factor,
                       .parts = parts[i],
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
    parts = parts.subspan(some.size());
  }
}

}  // namespace gradus::cuda

void gradus::kernels::update_matrices(std::span<const MatrixUpdate> matrices) {
  cuda::update_matrices(matrices, std::vector<cuda::Parts>(matrices.size()));
}
