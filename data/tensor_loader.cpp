#include "data/tensor_loader.h"

#include <algorithm>

#include "core/check_defined.h"
#include "core/error.h"
#include "core/ops.h"
#include "data/permutation.h"

namespace gradus::detail {

SampleOrder::SampleOrder(std::span<const Tensor> tensors, const TensorLoaderOptions& options)
    : size_(0), options_(options) {
  if (options.batch < 1) fail(ErrorKind::value, "tensor_loader", "batch ", options.batch, ": it must be at least 1");
  for (const Tensor& tensor : tensors) {
    check::defined("tensor_loader", tensor, "a tensor");
    if (tensor.rank() == 0 || tensor.size(0) == 0)
      fail(ErrorKind::shape, "tensor_loader", "expects tensors of samples along dimension 0, got ", tensor.shape());
    if (tensor.size(0) != tensors[0].size(0))
      fail(ErrorKind::shape, "tensor_loader", "expects as many samples in every tensor, got ", tensors[0].shape(),
           " and ", tensor.shape());
  }
  size_ = tensors[0].size(0);
}

int64_t SampleOrder::batches() const { return batches_of(size_, options_.batch, options_.drop_last); }

Tensor SampleOrder::epoch(int64_t epoch, int64_t first_batch) const {
  if (epoch < 0 || first_batch < 0 || first_batch > batches())
    fail(ErrorKind::value, "tensor_loader", "epoch ", epoch, ", batch ", first_batch,
         " was asked for: epochs begin at 0, and each has batches 0 to ", batches());
  if (!options_.shuffle) return {};
  return Tensor::from(epoch_order(size_, true, options_.seed, static_cast<uint64_t>(epoch)), {size_});
}

Tensor SampleOrder::batch(const Tensor& tensor, const Tensor& order, int64_t number) const {
  const int64_t begin = number * options_.batch, end = std::min(begin + options_.batch, size_);
  return order.defined() ? index_select(tensor, 0, slice(order, 0, begin, end)) : slice(tensor, 0, begin, end);
}

}  // namespace gradus::detail
