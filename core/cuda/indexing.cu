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
