// update(), the steps of many parameters: one launch for all of them, whose table of pointers and coefficients travels
// with the launch, and one more for what preconditioners learn from correlations, which nobody needs before the next
// step. Arithmetic is in double and what is stored is rounded, as in the reference.
#include <cmath>
#include <vector>

#include "core/cuda/element.h"
#include "core/cuda/matrices.h"
#include "core/cuda/rule.h"
#include "core/cuda/side_stream.h"
#include "core/kernels.h"

namespace gradus::kernels {
namespace {

using namespace cuda;

/// Elements of one block, which lie in its shared memory, of at most 48 KiB.
template <class T>
inline constexpr int tile_elements = sizeof(T) == 8 ? 1024 : 1280;
/// Elements that a block's threads step at a time, each one: whole rows of n.
GRADUS_ANYWHERE constexpr int elements_at_a_time(int n) { return threads_per_block / n * n; }
constexpr int64_t longest_row = 256;  // longer ones go through matmul
constexpr int small_matrix = 256;     // elements of a P that lies in shared memory
constexpr int room_for_sums = 1024;   // of a block's correlation, several for each element
constexpr int most_entries = 48;      // whose table fits the 32 KiB of a launch's arguments

/// One parameter.
struct Entry {
  int n;                // of a row
  int64_t count, tile;  // elements in all and of a block, both whole rows
  double factor, limit, decay, late_decay, hyper_factor;
  const void *gradient, *previous, *p;
  const void* correlated;  ///< with previous, instead of x; null: x
  void *value, *kept, *diagonal;
  double* correlation;  // [blocks of this entry, n, n]: each block's share
  bool transforms_only;
  RuleStep rule, hyper;
};

struct Table {
  int entries = 0;
  int64_t first_block[most_entries] = {};
  Entry entry[most_entries] = {};

  /// The number of the entry that a block works on. No load waits for another one.
  GRADUS_ANYWHERE int of_block(int64_t block) const {
    int at = 0;
    for (int i = 1; i < entries; ++i) at += first_block[i] <= block ? 1 : 0;
    return at;
  }
};
static_assert(sizeof(Table) < 32000);

/// Of parameters of one element type. `rich`: diagonals and rules that divide may be among them. Without those no
/// register spills at five blocks, but for a few of float64.
template <class T, bool rich>
struct Update {
  static constexpr int resident = rich ? 4 : 5;  // blocks of a multiprocessor: as many as registers allow
  struct Shared {
    double x[tile_elements<T>], previous[tile_elements<T>];  // each is read many times, and converting takes longer
    T value[tile_elements<T>], first[tile_elements<T>];  // as they were; the rule's first state too, or `correlated`
    double p[small_matrix];
    double sums[room_for_sums];
    int entry;
  };
  Table table;

  GRADUS_ANYWHERE int phases() const { return 3; }
  GRADUS_ANYWHERE void operator()(int phase, int64_t block, int thread, Shared& shared) const {
    const int at = phase == 0 ? table.of_block(block) : shared.entry;
    const Entry& e = table.entry[at];
    const int64_t in_entry = block - table.first_block[at], begin = in_entry * e.tile;
    const auto count = static_cast<int>(e.count - begin < e.tile ? e.count - begin : e.tile);
    switch (phase) {
      case 0:
        if (thread == 0) shared.entry = at;
        return transform(e, begin, count, thread, shared);
      case 1:
        step(e, begin, count, thread, shared);
        return e.n % 3 == 0 ? share<3>(e, count / e.n, in_entry, thread, shared)
                            : share<1>(e, count / e.n, in_entry, thread, shared);
      default: return add_shares(e, in_entry, thread, shared);
    }
  }

  /// The elements of a thread, which it loads before it computes: while one is on its way, so are the others. And those
  /// that it steps at a time, as registers allow.
  static constexpr int at_once = tile_elements<T> / threads_per_block, in_step = rich ? at_once / 2 : at_once;

  /// All that the step reads, but for what few rules have, and x.
  GRADUS_ANYWHERE void transform(const Entry& e, int64_t begin, int count, int thread, Shared& shared) const {
    const T* gradient = static_cast<const T*>(e.gradient) + begin;
    const T* value = static_cast<const T*>(e.value) + begin;
    const T* previous = static_cast<const T*>(e.previous) + begin;
    const T* state = static_cast<const T*>(e.correlated ? e.correlated : e.rule.first) + begin;
    const bool has_state = e.correlated || (e.rule.first && !e.transforms_only);
    for (int first = thread; first < count; first += at_once * threads_per_block) {
      T gradients[at_once] = {}, values[at_once] = {}, before[at_once] = {}, states[at_once] = {};
      GRADUS_UNROLL
      for (int k = 0; k < at_once; ++k) {
        const int i = first + k * threads_per_block;
        if (i >= count) continue;
        gradients[k] = gradient[i];
        values[k] = value[i];
        if (e.correlation) before[k] = previous[i];
        if (has_state) states[k] = state[i];
      }
      GRADUS_UNROLL
      for (int k = 0; k < at_once; ++k) {
        const int i = first + k * threads_per_block;
        if (i >= count) continue;
        double g = e.factor * wide(gradients[k]);
        if (e.limit > 0 && (g > e.limit || g < -e.limit)) g = g > 0 ? e.limit : -e.limit;  // no number stays none
        const T x = ref::narrow<T>(e.decay == 0 ? g : g + e.decay * wide(values[k]));
        if (e.kept) static_cast<T*>(e.kept)[begin + i] = x;
        shared.x[i] = wide(x);
        shared.value[i] = values[k];
        shared.first[i] = states[k];
        if (e.correlation) shared.previous[i] = wide(before[k]);
      }
    }
    if (!e.p || e.n * e.n > small_matrix) return;
    for (int i = thread; i < e.n * e.n; i += threads_per_block) shared.p[i] = wide(static_cast<const T*>(e.p)[i]);
  }

  GRADUS_ANYWHERE void step(const Entry& e, int64_t begin, int count, int thread, Shared& shared) const {
    const int stride = elements_at_a_time(e.n);
    if (e.transforms_only || thread >= stride) return;
    T* value = static_cast<T*>(e.value);
    T* diagonal = rich ? static_cast<T*>(e.diagonal) : nullptr;
    for (int first = thread; first < count; first += in_step * stride) {
      double along[in_step];
      direction(e, first, stride, count, shared, along);
      GRADUS_UNROLL
      for (int k = 0; k < in_step; ++k) {
        const int i = first + k * stride;
        if (i >= count) break;
        double u = along[k];
        if (diagonal) u *= wide(diagonal[begin + i]);
        RuleState<T> state = e.rule.template fetch_rest<rich>(shared.value[i], shared.first[i], begin + i);
        if (e.late_decay != 0) u += e.late_decay * wide(state.value);
        e.rule.template advance<rich>(u, state);
        e.rule.template put<rich>(state, value, begin + i);
        if (!diagonal || !e.previous) continue;
        const double meets = e.correlated ? wide(shared.first[i]) : shared.x[i];
        e.hyper.step(e.hyper_factor * meets * wide(static_cast<const T*>(e.previous)[begin + i]), diagonal, begin + i);
      }
    }
  }

  /// x, or P x row by row, for the elements first, first + stride, ...: they are of one column, so that a load of P
  /// serves all. A product of float32 numbers is exact in double: with and without fma alike.
  GRADUS_ANYWHERE static void direction(const Entry& e, int first, int stride, int count, const Shared& shared,
                                        double (&along)[in_step]) {
    const int column = first % e.n, terms = e.p ? e.n : 0;
    const bool is_small = e.n * e.n <= small_matrix;
    GRADUS_UNROLL
    for (int k = 0; k < in_step; ++k) along[k] = e.p || first + k * stride >= count ? 0 : shared.x[first + k * stride];
    for (int j = 0; j < terms; ++j) {
      const int place = column * e.n + j;
      const double p = is_small ? shared.p[place] : wide(static_cast<const T*>(e.p)[place]);
      GRADUS_UNROLL
      for (int k = 0; k < in_step; ++k)
        if (first + k * stride < count) along[k] = std::fma(p, shared.x[first + k * stride - column + j], along[k]);
    }
  }

  /// How many threads share the rows of a square of side x side pairs (i, j).
  GRADUS_ANYWHERE static int lanes(int n, int side) {
    const int squares = n / side * (n / side), room = room_for_sums / (n * n);
    const int threads = squares < threads_per_block ? threads_per_block / squares : 1;
    return room < 1 ? 1 : room < threads ? room : threads;
  }

  /// Sums of x_i previous_j over the block's rows. A thread takes a square of pairs, so that a load serves several.
  template <int side>
  GRADUS_ANYWHERE void share(const Entry& e, int rows, int64_t block, int thread, Shared& shared) const {
    if (!e.correlation) return;
    if (e.correlated)
      share<side>(e, shared.first, rows, block, thread, shared);
    else
      share<side>(e, shared.x, rows, block, thread, shared);
  }
  template <int side, class Number>
  GRADUS_ANYWHERE void share(const Entry& e, const Number* meets, int rows, int64_t block, int thread,
                             Shared& shared) const {
    const int across = e.n / side, squares = across * across, lanes = Update::lanes(e.n, side);
    for (int square = thread % squares, lane = thread / squares; square < squares && lane < lanes;
         square += threads_per_block) {
      const int i = square / across * side, j = square % across * side;
      double sums[side][side] = {};
      for (int row = lane; row < rows; row += lanes) {
        double x[side], previous[side];
        GRADUS_UNROLL
        for (int k = 0; k < side; ++k) {
          x[k] = wide(meets[row * e.n + i + k]);
          previous[k] = shared.previous[row * e.n + j + k];
        }
        GRADUS_UNROLL
        for (int a = 0; a < side; ++a) {
          GRADUS_UNROLL
          for (int b = 0; b < side; ++b) sums[a][b] = std::fma(x[a], previous[b], sums[a][b]);
        }
      }
      double* to = lanes == 1 ? e.correlation + block * e.n * e.n : shared.sums + lane * e.n * e.n;
      GRADUS_UNROLL
      for (int a = 0; a < side; ++a) {
        GRADUS_UNROLL
        for (int b = 0; b < side; ++b) to[(i + a) * e.n + j + b] = sums[a][b];
      }
    }
  }

  GRADUS_ANYWHERE void add_shares(const Entry& e, int64_t block, int thread, Shared& shared) const {
    if (!e.correlation) return;
    const int pairs = e.n * e.n, lanes = Update::lanes(e.n, e.n % 3 == 0 ? 3 : 1);
    if (lanes == 1) return;
    for (int pair = thread; pair < pairs; pair += threads_per_block) {
      double sum = 0;
      for (int lane = 0; lane < lanes; ++lane) sum += shared.sums[lane * pairs + pair];
      e.correlation[block * pairs + pair] = sum;
    }
  }
};

/// One parameter's correlation.
struct Correlation {
  const double* shares;
  void* out;
  DType type;
  int pairs;
  int64_t blocks, first_block;  // of Update; of Gather
};

struct CorrelationTable {
  int entries = 0;
  Correlation entry[most_entries] = {};
};

/// Adds the blocks' shares: each block of threads for a few pairs.
struct GatherCorrelations {
  static constexpr int lanes = 32, pairs_at_once = threads_per_block / lanes;
  struct Shared {
    double at[threads_per_block];
  };
  CorrelationTable table;

  GRADUS_ANYWHERE int phases() const { return 7; }  // lanes = 2^5
  GRADUS_ANYWHERE void operator()(int phase, int64_t block, int thread, Shared& shared) const {
    int found = 0;
    while (found + 1 < table.entries && table.entry[found + 1].first_block <= block) ++found;
    const Correlation& c = table.entry[found];
    const int lane = thread / pairs_at_once, half = lanes >> phase;
    const int64_t pair = (block - c.first_block) * pairs_at_once + thread % pairs_at_once;
    if (phase == 0) {
      double sum = 0;
      for (int64_t i = lane; pair < c.pairs && i < c.blocks; i += lanes) sum += c.shares[i * c.pairs + pair];
      shared.at[thread] = sum;
    } else if (half > 0) {
      if (lane < half) shared.at[thread] += shared.at[thread + half * pairs_at_once];
    } else if (lane == 0 && pair < c.pairs) {
      store<double>(c.out, c.type, pair, shared.at[thread]);
    }
  }
};

void* memory(const Tensor* x) { return x ? x->raw() : nullptr; }

/// Collects parameters for launches of up to most_entries each, all of one dtype.
class Launches {
 public:
  /// `matrices`: what learns from the parameters' correlations, once all have been launched.
  explicit Launches(std::span<const MatrixUpdate> matrices = {}) : matrices_(matrices), parts_(matrices.size()) {}

  void add(const ParameterUpdate& p, bool transforms_only) {
    const int64_t count = p.value->numel();
    if (count == 0) {  // and P may be of any size
      if (p.correlation) kernels::fill(0, *p.correlation);
      return;
    }
    const int64_t n = p.p ? p.p->shape()[0] : 1, at_a_time = elements_at_a_time(static_cast<int>(n));
    const int64_t room = p.value->dtype() == DType::float64 ? tile_elements<double> : tile_elements<float>;
    const int64_t tile = room / at_a_time * at_a_time;
    if (table_.entries == most_entries || (table_.entries > 0 && p.value->dtype() != dtype_)) launch();
    dtype_ = p.value->dtype();
    const int64_t blocks = (count + tile - 1) / tile;
    double* shares = nullptr;
    if (p.correlation) {
      scratch_.push_back(Storage::allocate(static_cast<size_t>(blocks * n * n) * sizeof(double)));
      shares = static_cast<double*>(scratch_.back().data());
      if (!matrix_adds(p.correlation, shares, blocks)) {
        const int64_t pairs = n * n;
        correlations_.entry[correlations_.entries++] = {shares, memory(p.correlation), dtype_, static_cast<int>(pairs),
                                                        blocks, gather_blocks_};
        gather_blocks_ += (pairs + GatherCorrelations::pairs_at_once - 1) / GatherCorrelations::pairs_at_once;
      }
    }
    table_.first_block[table_.entries] = blocks_;
    table_.entry[table_.entries++] = {.n = static_cast<int>(n),
                                      .count = count,
                                      .tile = tile,
                                      .factor = p.factor,
                                      .limit = p.limit,
                                      .decay = p.decay,
                                      .late_decay = p.late_decay,
                                      .hyper_factor = p.hyper_factor,
                                      .gradient = memory(p.gradient),
                                      .previous = memory(p.previous),
                                      .p = memory(p.p),
                                      .correlated = memory(p.correlated),
                                      .value = memory(p.value),
                                      .kept = memory(p.kept),
                                      .diagonal = memory(p.diagonal),
                                      .correlation = shares,
                                      .transforms_only = transforms_only,
                                      .rule = RuleStep(p.rule),
                                      .hyper = RuleStep(p.hyper)};
    blocks_ += blocks;
    is_rich_ = is_rich_ || p.diagonal || RuleStep(p.rule).divides();
  }

  void launch() {
    const auto start = [&]<class T>(T) {
      if (is_rich_)
        for_each_block(blocks_, Update<T, true>{table_});
      else
        for_each_block(blocks_, Update<T, false>{table_});
    };
    if (table_.entries > 0) visit_floating(dtype_, start);
    if (correlations_.entries > 0) for_each_block(gather_blocks_, GatherCorrelations{correlations_});
    table_ = {};
    correlations_ = {};
    blocks_ = gather_blocks_ = 0;
    is_rich_ = false;
  }

  void launch_all() {
    launch();
    if (matrices_.empty()) return;
    cuda::Uses uses;
    for (const MatrixUpdate& u : matrices_)
      for (const Tensor* x :
           std::initializer_list<const Tensor*>{u.matrix, u.correlation, u.p, u.rule.first, u.rule.second})
        if (x) uses.written.push_back(*x);
    cuda::run_on_side_stream([&] { cuda::update_matrices(matrices_, parts_, scratch_); }, uses, scratch_);
  }

 private:
  /// Whether this correlation is a small matrix's, which adds the shares itself.
  bool matrix_adds(const Tensor* correlation, const double* shares, int64_t blocks) {
    if (correlation->numel() > small_matrix) return false;
    for (size_t i = 0; i < matrices_.size(); ++i)
      if (matrices_[i].correlation->raw() == correlation->raw()) {
        parts_[i] = {shares, blocks};
        return true;
      }
    return false;
  }

  std::span<const MatrixUpdate> matrices_;
  std::vector<Parts> parts_;
  DType dtype_ = DType::float32;
  Table table_;
  CorrelationTable correlations_;
  int64_t blocks_ = 0, gather_blocks_ = 0;
  bool is_rich_ = false;
  std::vector<Storage> scratch_;
};

/// Flat memory as a matrix with rows of n.
Tensor as_rows(const Tensor& x, int64_t n) {
  return Tensor(x.storage(), x.offset(), {x.numel() / n, n}, {n, 1}, x.dtype());
}

/// Through matrix products in memory: x, then u = x P^T, then the rule.
void update_long_rows(const ParameterUpdate& p) {
  const int64_t n = p.p->shape()[0];
  Tensor x = Tensor::empty_like(*p.value), u = Tensor::empty_like(*p.value);
  ParameterUpdate first = p;
  first.p = nullptr;
  first.correlation = nullptr;
  first.correlated = nullptr;
  first.kept = &x;
  Launches transform;
  transform.add(first, true);
  transform.launch();
  if (p.kept) kernels::copy(x, *p.kept);
  Tensor rows = as_rows(u, n);
  const Tensor& matrix = *p.p;
  kernels::matmul(as_rows(x, n), Tensor(matrix.storage(), matrix.offset(), {n, n}, {1, n}, matrix.dtype()), 1, 0, rows);
  ParameterUpdate rest{.value = p.value, .gradient = &u, .late_decay = p.late_decay, .rule = p.rule};
  Launches step;
  step.add(rest, false);
  step.launch();
  if (!p.correlation) return;
  const Tensor& meets = p.correlated ? *p.correlated : x;
  const Tensor columns(meets.storage(), meets.offset(), {n, x.numel() / n}, {1, n}, x.dtype());
  kernels::matmul(columns, as_rows(*p.previous, n), 1, 0, *p.correlation);
}

}  // namespace

void update(std::span<const ParameterUpdate> parameters, std::span<const MatrixUpdate> matrices) {
  Launches launches(matrices);
  for (const ParameterUpdate& p : parameters) {
    if (p.p && p.p->shape()[0] > longest_row && p.value->numel() > 0)
      update_long_rows(p);
    else
      launches.add(p, false);
  }
  launches.launch_all();
}

}  // namespace gradus::kernels
