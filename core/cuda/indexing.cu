// Indexing along one dimension.
#include "core/cuda/element.h"
#include "core/cuda/functions.h"
#include "core/cuda/walk.h"
#include "core/kernels.h"

namespace gradus::kernels {
namespace {

using namespace cuda;

template <class Bits>
struct Gather {
  Walk<3> walk;  // out, index, x at position 0 of the dimension
  int64_t stride;
  const Bits* x;
  const int64_t* index;
  Bits* out;
  GRADUS_ANYWHERE void operator()(int64_t i) const {
    int64_t at[3];
    walk.places(i, at);
    out[at[0]] = x[at[2] + index[at[1]] * stride];
  }
};

/// One thread adds all sources of a line along the dimension, in order.
template <class W>
struct ScatterAdd {
  Walk<3> lines;  // out, index, source
  int64_t count, out_stride, index_stride, source_stride;
  const int64_t* index;
  const void* source;
  void* out;
  DType type;
  GRADUS_ANYWHERE void operator()(int64_t line) const {
    int64_t at[3];
    lines.places(line, at);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t to = at[0] + index[at[1] + i * index_stride] * out_stride;
      const W target = load<W>(out, type, to), value = load<W>(source, type, at[2] + i * source_stride);
      store<W>(out, type, to, apply(BinaryOp::add, target, value, W{0}));
    }
  }
};

/// The same for a source [n, D] whose rows go to rows of out [V, D], as an embedding's gradient does: a block for each
/// row of the source, which adds all that go where this one goes, if it is the first of them. They are found by
/// comparing numbers, 32 by each thread at a time.
template <class T>
struct ScatterRows {
  static constexpr int resident = 3;  // blocks of a multiprocessor: with more, registers spill
  static constexpr int of_thread = 32, of_chunk = threads_per_block * of_thread;
  struct Shared {
    uint32_t same[threads_per_block];  // a bit for each source
  };
  struct Local {
    bool decided, first;
  };
  int64_t count, columns;
  int64_t out_strides[2], source_strides[2], index_stride;
  const int64_t* index;
  const T* source;
  T* out;

  GRADUS_ANYWHERE int phases() const { return static_cast<int>(2 * divided_up(count, of_chunk)); }
  GRADUS_ANYWHERE void operator()(int phase, int64_t block, int thread, Shared& shared, Local& local) const {
    const int64_t begin = int64_t{phase / 2} * of_chunk, row = index[block * index_stride];
    if (phase == 0) local = {false, false};
    if (local.decided && !local.first) return;
    if (phase % 2 == 0) {
      uint32_t same = 0;
      for (int k = 0; k < of_thread; ++k) {
        const int64_t i = begin + thread * of_thread + k;
        if (i < count && index[i * index_stride] == row) same |= uint32_t{1} << k;
      }
      shared.same[thread] = same;
      return;
    }
    for (int at = 0; !local.decided && at < threads_per_block; ++at) {  // by the first source that is found
      const uint32_t same = shared.same[at];
      const int64_t own = block - begin - at * of_thread;
      if (same != 0) local = {true, own >= 0 && own < of_thread && (same & -same) == uint32_t{1} << own};
    }
    if (!local.first) return;
    for (int64_t column = thread; column < columns; column += threads_per_block) {
      T* const to = out + row * out_strides[0] + column * out_strides[1];
      const T* const from = source + begin * source_strides[0] + column * source_strides[1];
      T sum = *to;
      for (int at = 0; at < threads_per_block; ++at) {
        int i = at * of_thread;
        for (uint32_t same = shared.same[at]; same != 0; same >>= 1, ++i)
          if (same & 1) sum += from[i * source_strides[0]];
      }
      *to = sum;
    }
  }
};

template <class T>
void scatter_rows(const Tensor& index, const Tensor& source, Tensor& out) {
  for_each_block(source.shape()[0], ScatterRows<T>{source.shape()[0],
                                                   source.shape()[1],
                                                   {out.strides()[0], out.strides()[1]},
                                                   {source.strides()[0], source.strides()[1]},
                                                   index.strides()[0],
                                                   static_cast<const int64_t*>(index.raw()),
                                                   static_cast<const T*>(source.raw()),
                                                   static_cast<T*>(out.raw())});
}

template <class Bits>
void gather_bits(const Tensor& x, int dim, const Tensor& index, Tensor& out) {
  Strides base = x.strides();
  base[dim] = 0;
  const Walk<3> walk = make_walk<3>(out.shape(), {out.strides(), index.strides(), base});
  for_each(walk.count, Gather<Bits>{walk, x.strides()[dim], static_cast<const Bits*>(x.raw()),
                                    static_cast<const int64_t*>(index.raw()), static_cast<Bits*>(out.raw())});
}

}  // namespace

void gather(const Tensor& x, int dim, const Tensor& index, Tensor& out) {
  switch (size_of(x.dtype())) {
    case 1: return gather_bits<uint8_t>(x, dim, index, out);
    case 2: return gather_bits<uint16_t>(x, dim, index, out);
    case 4: return gather_bits<uint32_t>(x, dim, index, out);
    default: return gather_bits<uint64_t>(x, dim, index, out);
  }
}

void scatter_add(int dim, const Tensor& index, const Tensor& source, Tensor& out) {
  if (out.dtype() == DType::bfloat16) {  // rounded once, not with every addition
    Tensor terms = Tensor::empty_like(source, DType::float32), sums = Tensor::empty_like(out, DType::float32);
    kernels::copy(source, terms);
    kernels::copy(out, sums);
    kernels::scatter_add(dim, index, terms, sums);
    return kernels::copy(sums, out);
  }
  if (dim == 0 && source.rank() == 2 && index.strides()[1] == 0 && is_floating(out.dtype()))
    return out.dtype() == DType::float64 ? scatter_rows<double>(index, source, out)
                                         : scatter_rows<float>(index, source, out);
  Shape across = source.shape();
  const int64_t count = across[dim];
  across[dim] = 1;
  const Walk<3> lines = make_walk<3>(across, {out.strides(), index.strides(), source.strides()});
  visit_number(out.dtype(), [&]<class W>(W) {
    for_each(lines.count,
             ScatterAdd<W>{lines, count, out.strides()[dim], index.strides()[dim], source.strides()[dim],
                           static_cast<const int64_t*>(index.raw()), source.raw(), out.raw(), out.dtype()});
  });
}

}  // namespace gradus::kernels
