// The learning of all preconditioners' small matrices in one launch: a block of threads for each, and a table of
// pointers and coefficients that travels with the launch. Arithmetic is in double.
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
  double* scratch;  // [4, n, n] where shared memory is too small
  RuleStep rule;
};

constexpr size_t few_entries = 12, most_entries = 64;  // of one launch; it takes longer to start the more it carries
constexpr int small_matrix = 256;                      // elements of one that lies in shared memory

template <size_t entries>
struct UpdateMatrices {
  struct Shared {
    double room[4 * small_matrix];
    double first[small_matrix], second[small_matrix];  // the rule's state, of a small one
    double part_sums[threads_per_block];
    double squares[threads_per_block], products[threads_per_block];  // shares of <Q, Q> and <Q, C>
    double scale, part;                                              // norm / |Q|, <Q, C> / |Q|^2
  };
  static constexpr int resident = 1;  // blocks of a multiprocessor: registers for all loads at once
  Entry entry[entries];

  /// What a block works on: C, M, Q and the gradient with respect to M, in double.
  struct Room {
    double *c, *m, *q, *h;
    GRADUS_ANYWHERE Room(const Entry& e, Shared& shared) {
      const int elements = e.n * e.n;
      c = elements <= small_matrix ? shared.room : e.scratch;
      m = c + elements;
      q = m + elements;
      h = q + elements;
    }
  };

  GRADUS_ANYWHERE int phases() const { return 11; }
  GRADUS_ANYWHERE void operator()(int phase, int64_t block, int thread, Shared& shared) const {
    const Entry& e = entry[block];
    const Room room(e, shared);
    const int elements = e.n * e.n;
    switch (phase) {
      case 0:
        switch (e.type) {
          case DType::float64: return read<double>(e, room, thread, shared);
          case DType::bfloat16: return read<bfloat16>(e, room, thread, shared);
          default: return read<float>(e, room, thread, shared);
        }
      case 1:
        for (int at = thread; at < elements; at += threads_per_block) {
          if (!e.parts.parts) {
            room.c[at] = load<double>(e.correlation, e.type, at);
            continue;
          }
          room.c[at] = as_stored(e.type, sum_of_lanes(elements, at, shared));
          store<double>(e.correlation, e.type, at, room.c[at]);
        }
        return;
      case 2:
        if (e.through) form_q(e, room, thread, shared);
        return;
      case 3:
        if (e.through) gather(thread, shared);
        return;
      case 4:
        if (e.through && thread == 0) add(e, shared);
        return;
      case 5:  // all elements of h before M changes
        for (int at = thread; at < elements; at += threads_per_block)
          room.h[at] = gradient(e, room, shared, at / e.n, at % e.n);
        return;
      case 6:
        for (int at = thread; at < elements; at += threads_per_block) room.m[at] = step(e, room, shared, at);
        return;
      case 7:
        if (e.p) form_q(e, room, thread, shared);
        return;
      case 8:
        if (e.p && e.norm > 0) gather(thread, shared);
        return;
      case 9:
        if (e.p && e.norm > 0 && thread == 0) add(e, shared);
        return;
      default:
        if (!e.p) return;
        const double k = e.norm > 0 ? shared.scale : 1;
        for (int at = thread; at < elements; at += threads_per_block) store<double>(e.p, e.type, at, k * room.q[at]);
    }
  }

  /// All that comes from memory. Of a small matrix every load is under way before the first is waited for, as it would
  /// be to convert it.
  template <class T>
  GRADUS_ANYWHERE static void read(const Entry& e, const Room& room, int thread, Shared& shared) {
    const int elements = e.n * e.n;
    const T* matrix = static_cast<const T*>(e.matrix);
    if (elements > small_matrix) {
      for (int at = thread; at < elements; at += threads_per_block) room.m[at] = wide(matrix[at]);
      return;
    }
    T m = {}, first = {}, second = {};
    if (thread < elements) {
      m = matrix[thread];
      if (e.rule.first) first = static_cast<const T*>(e.rule.first)[thread];
      if (e.rule.second) second = static_cast<const T*>(e.rule.second)[thread];
    }
    add_parts(e, thread, shared);
    if (thread >= elements) return;
    room.m[thread] = wide(m);
    shared.first[thread] = wide(first);
    shared.second[thread] = wide(second);
  }

  /// x rounded to a type.
  GRADUS_ANYWHERE static double as_stored(DType type, double x) {
    switch (type) {
      case DType::float64: return x;
      case DType::bfloat16: return wide(ref::narrow<bfloat16>(x));
      default: return ref::narrow<float>(x);
    }
  }

  /// How many threads share an element of the correlation, which is a small one where it comes in parts.
  GRADUS_ANYWHERE static int lanes(int elements) { return threads_per_block / elements; }

  GRADUS_ANYWHERE static void add_parts(const Entry& e, int thread, Shared& shared) {
    const int elements = e.n * e.n, lanes = UpdateMatrices::lanes(elements), lane = thread / elements;
    if (!e.parts.parts || lane >= lanes) return;
    constexpr int at_once = 48;  // loads under way: half of 288 parts of 9 x 9
    const double* const from = e.parts.parts + (thread - lane * elements);
    double sum = 0;
    for (int64_t first = lane; first < e.parts.count; first += at_once * lanes) {
      double parts[at_once];
      GRADUS_UNROLL
      for (int k = 0; k < at_once; ++k) {  // beyond the last one the first: a load under a condition would wait for it
        const int64_t part = first + k * lanes < e.parts.count ? first + k * lanes : first;
        parts[k] = from[part * elements];
      }
      GRADUS_UNROLL
      for (int k = 0; k < at_once; ++k)
        if (first + k * lanes < e.parts.count) sum += parts[k];
    }
    shared.part_sums[thread] = sum;  // thread = lane * elements + element
  }

  GRADUS_ANYWHERE static double sum_of_lanes(int elements, int at, const Shared& shared) {
    double sum = 0;
    for (int lane = 0; lane < lanes(elements); ++lane) sum += shared.part_sums[lane * elements + at];
    return sum;
  }

  /// Steps element `at` of M, and returns it.
  GRADUS_ANYWHERE static double step(const Entry& e, const Room& room, const Shared& shared, int at) {
    switch (e.type) {
      case DType::float64: return step(e, static_cast<double*>(e.matrix), room, shared, at);
      case DType::bfloat16: return step(e, static_cast<bfloat16*>(e.matrix), room, shared, at);
      default: return step(e, static_cast<float*>(e.matrix), room, shared, at);
    }
  }
  template <class T>
  GRADUS_ANYWHERE static double step(const Entry& e, T* matrix, const Room& room, const Shared& shared, int at) {
    const double along = e.factor * room.h[at];
    if (e.n * e.n > small_matrix) return e.rule.step(along, matrix, at);
    RuleState<T> state;
    state.value = ref::narrow<T>(room.m[at]);
    state.first = ref::narrow<T>(shared.first[at]);
    state.second = ref::narrow<T>(shared.second[at]);
    e.rule.advance(along, state);
    e.rule.put(state, matrix, at);
    return wide(state.value);
  }

  GRADUS_ANYWHERE static bool is_product(const Entry& e) {
    return e.form == MatrixUpdate::Form::product || e.form == MatrixUpdate::Form::product_plus;
  }

  /// Q of the current M, and this thread's share of the sums.
  GRADUS_ANYWHERE static void form_q(const Entry& e, const Room& room, int thread, Shared& shared) {
    double squares = 0, products = 0;
    for (int at = thread; at < e.n * e.n; at += threads_per_block) {
      const int i = at / e.n, j = at % e.n;
      double q = 0;
      if (is_product(e)) {
        q = e.form == MatrixUpdate::Form::product_plus && i == j ? 1 : 0;
        for (int k = 0; k < e.n; ++k) q += room.m[i * e.n + k] * room.m[j * e.n + k];
      } else {
        q = room.m[at];
        if (e.form == MatrixUpdate::Form::symmetric) q = (q + room.m[j * e.n + i]) / 2;
      }
      room.q[at] = q;
      squares += q * q;
      products += q * room.c[at];
    }
    shared.squares[thread] = squares;
    shared.products[thread] = products;
  }

  static constexpr int gathering = 32;  // threads, each of which adds up some threads' shares

  GRADUS_ANYWHERE static void gather(int thread, Shared& shared) {
    if (thread >= gathering) return;
    for (int other = thread + gathering; other < threads_per_block; other += gathering) {
      shared.squares[thread] += shared.squares[other];
      shared.products[thread] += shared.products[other];
    }
  }

  GRADUS_ANYWHERE static void add(const Entry& e, Shared& shared) {
    double squares = 0, products = 0;
    for (int thread = 0; thread < gathering; ++thread) {
      squares += shared.squares[thread];
      products += shared.products[thread];
    }
    shared.scale = e.norm / std::sqrt(squares);
    shared.part = products / squares;
  }

  /// C, or what it becomes through the norm.
  GRADUS_ANYWHERE static double carried(const Entry& e, const Room& room, const Shared& shared, int i, int j) {
    const int at = i * e.n + j;
    return e.through ? shared.scale * (room.c[at] - shared.part * room.q[at]) : room.c[at];
  }

  GRADUS_ANYWHERE static double gradient(const Entry& e, const Room& room, const Shared& shared, int i, int j) {
    if (e.form == MatrixUpdate::Form::plain) return carried(e, room, shared, i, j);
    const auto both = [&](int i, int j) { return carried(e, room, shared, i, j) + carried(e, room, shared, j, i); };
    if (e.form == MatrixUpdate::Form::symmetric) return both(i, j) / 2;
    double sum = 0;
    for (int k = 0; k < e.n; ++k) sum += both(i, k) * room.m[k * e.n + j];
    return sum;
  }
};
static_assert(sizeof(UpdateMatrices<most_entries>) < 32000);

/// Up to `entries` matrices.
template <size_t entries>
void launch(std::span<const MatrixUpdate> matrices, std::span<const Parts> parts, std::vector<Storage>& scratch) {
  size_t elements = 0;
  for (const MatrixUpdate& u : matrices)
    if (u.correlation->numel() > small_matrix) elements += static_cast<size_t>(u.correlation->numel());
  double* room = nullptr;
  if (elements > 0) {
    scratch.push_back(Storage::allocate(4 * elements * sizeof(double)));
    room = static_cast<double*>(scratch.back().data());
  }
  UpdateMatrices<entries> work{};
  for (size_t i = 0; i < matrices.size(); ++i) {
    const MatrixUpdate& u = matrices[i];
    const int64_t count = u.correlation->numel();
    work.entry[i] = {.form = u.form,
                     .through = u.norm > 0 && u.differentiate_norm,
                     .type = u.matrix->dtype(),
                     .n = static_cast<int>(u.correlation->shape()[0]),
                     .norm = u.norm,
                     .factor = u.factor,
                     .parts = parts[i],
                     .correlation = u.correlation->raw(),
                     .matrix = u.matrix->raw(),
                     .p = u.p ? u.p->raw() : nullptr,
                     .scratch = room,
                     .rule = RuleStep(u.rule)};
    if (count > small_matrix) room += 4 * count;
  }
  for_each_block(static_cast<int64_t>(matrices.size()), work);
}

}  // namespace

void update_matrices(std::span<const MatrixUpdate> matrices, std::span<const Parts> parts,
                     std::vector<Storage>& scratch) {
  while (!matrices.empty()) {
    const size_t count = std::min(matrices.size(), most_entries);
    (count <= few_entries ? launch<few_entries> : launch<most_entries>)(matrices.first(count), parts.first(count),
                                                                        scratch);
    matrices = matrices.subspan(count);
    parts = parts.subspan(count);
  }
}

}  // namespace gradus::cuda

void gradus::kernels::update_matrices(std::span<const MatrixUpdate> matrices) {
  std::vector<Storage> scratch;
  cuda::update_matrices(matrices, std::vector<cuda::Parts>(matrices.size()), scratch);
}
