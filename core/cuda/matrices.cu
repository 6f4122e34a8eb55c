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
  DType type;
  int n;
  double factor;
  const void* correlation;
  void *matrix, *p;
  double* h;
  RuleStep rule;
};

constexpr size_t most_entries = 64;

struct UpdateMatrices {
  struct Shared {};
  Entry entry[most_entries];

  GRADUS_ANYWHERE int phases() const { return 3; }
  GRADUS_ANYWHERE void operator()(int phase, int64_t block, int thread, Shared&) const {
    const Entry& e = entry[block];
    const bool product = e.form == MatrixUpdate::Form::product || e.form == MatrixUpdate::Form::product_plus;
    for (int at = thread; at < e.n * e.n; at += threads_per_block) {
      const int i = at / e.n, j = at % e.n;
      if (phase == 0)  // of all elements before M changes
        e.h[at] = product ? gradient_of_product(e, i, j) : mixed(e, e.correlation, i, j);
      else if (phase == 1)
        e.rule.step(e.factor * e.h[at], e.matrix, e.type, at);
      else if (e.p)
        store<double>(e.p, e.type, at, product ? product_at(e, i, j) : mixed(e, e.matrix, i, j));
    }
  }

  /// Of a matrix, or of its symmetric part.
  GRADUS_ANYWHERE static double mixed(const Entry& e, const void* x, int i, int j) {
    const auto value = load<double>(x, e.type, i * e.n + j);
    return e.form == MatrixUpdate::Form::plain ? value : (value + load<double>(x, e.type, j * e.n + i)) / 2;
  }
  GRADUS_ANYWHERE static double gradient_of_product(const Entry& e, int i, int j) {
    double sum = 0;
    for (int k = 0; k < e.n; ++k)
      sum += (load<double>(e.correlation, e.type, i * e.n + k) + load<double>(e.correlation, e.type, k * e.n + i)) *
             load<double>(e.matrix, e.type, k * e.n + j);
    return sum;
  }
  GRADUS_ANYWHERE static double product_at(const Entry& e, int i, int j) {
    double sum = e.form == MatrixUpdate::Form::product_plus && i == j ? 1 : 0;
    for (int k = 0; k < e.n; ++k)
      sum += load<double>(e.matrix, e.type, i * e.n + k) * load<double>(e.matrix, e.type, j * e.n + k);
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
    const Storage scratch = Storage::allocate(elements * sizeof(double));
    auto* h = static_cast<double*>(scratch.data());
    UpdateMatrices work{};
    Entry* to = work.entry;
    for (const MatrixUpdate& u : some) {
      *to++ = {.form = u.form,
               .type = u.matrix->dtype(),
               .n = static_cast<int>(u.correlation->shape()[0]),
               .factor = u.factor,
               .correlation = u.correlation->raw(),
               .matrix = u.matrix->raw(),
               .p = u.p ? u.p->raw() : nullptr,
               .h = h,
               .rule = RuleStep(u.rule)};
      h += u.correlation->numel();
    }
    for_each_block(static_cast<int64_t>(some.size()), work);
    matrices = matrices.subspan(some.size());
  }
}

}  // namespace gradus::kernels
