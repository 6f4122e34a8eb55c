// Batches of tensors that a program made or read itself: a table of numbers, time series, the positions of a game.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <utility>

#include "core/tensor.h"

namespace gradus {

struct TensorLoaderOptions {
  int64_t batch = 128;
  uint64_t seed = 0;
  bool shuffle = true;     ///< a new order in every epoch
  bool drop_last = false;  ///< leave out a last batch that is not full
};

namespace detail {
/// Which samples an epoch's batches take.
class SampleOrder {
 public:
  SampleOrder(std::span<const Tensor> tensors, const TensorLoaderOptions& options);
  int64_t size() const { return size_; }
  int64_t batches() const;
  /// The samples of an epoch in the order of use, int64 [size]; undefined where that is their own order.
  Tensor epoch(int64_t epoch, int64_t first_batch) const;
  /// A batch's samples of a tensor.
  Tensor batch(const Tensor& tensor, const Tensor& order, int64_t number) const;

 private:
  int64_t size_;
  TensorLoaderOptions options_;
};
}  // namespace detail

/// Tensors [samples, ...], of which part i of each belongs to sample i. They stay on the device; a batch is a copy of
/// its samples, or a view without .shuffle. Batch k of epoch e is a pure function of (tensors, options, e, k).
///
///   const TensorLoader batches({x, y}, {.batch = 64});
///   for (const auto& [x, y] : batches.epoch(e)) ...
template <size_t N>
class TensorLoader {
 public:
  class Epoch;

  /// Throws ErrorKind::shape where a tensor has no first dimension, no rows or not as many as the first tensor,
  /// ErrorKind::value for a batch below 1.
  explicit TensorLoader(const Tensor (&tensors)[N], const TensorLoaderOptions& options = {})
      : tensors_(std::to_array(tensors)), order_(tensors, options) {}

  /// Number of samples.
  int64_t size() const { return order_.size(); }
  /// Number of batches in an epoch.
  int64_t batches() const { return order_.batches(); }

  /// The batches of an epoch from `first_batch` on, each an array of N tensors. Throws ErrorKind::value where an
  /// argument is negative or first_batch is above batches().
  Epoch epoch(int64_t epoch, int64_t first_batch = 0) const {
    return Epoch(*this, order_.epoch(epoch, first_batch), first_batch);
  }

 private:
  std::array<Tensor, N> tensors_;
  detail::SampleOrder order_;
};

/// One pass, in order. It outlives its loader.
template <size_t N>
class TensorLoader<N>::Epoch {
 public:
  class Iterator {
   public:
    using value_type = std::array<Tensor, N>;
    using difference_type = std::ptrdiff_t;

    const value_type& operator*() const { return batch_; }
    const value_type* operator->() const { return &batch_; }
    Iterator& operator++() {
      ++number_;
      batch_ = {};  // its memory serves the next one
      make();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const Iterator& it, std::default_sentinel_t) { return it.ended(); }

   private:
    friend class Epoch;
    bool ended() const { return number_ == epoch_->loader_.batches(); }
    void make() {
      if (!ended()) batch_ = epoch_->batch(number_);
    }
    Iterator(const Epoch& epoch, int64_t number) : epoch_(&epoch), number_(number) { make(); }
    const Epoch* epoch_;
    int64_t number_;
    value_type batch_;
  };

  Iterator begin() const { return Iterator(*this, first_batch_); }
  std::default_sentinel_t end() const { return std::default_sentinel; }

 private:
  friend class TensorLoader;
  Epoch(const TensorLoader& loader, Tensor order, int64_t first_batch)
      : loader_(loader), order_(std::move(order)), first_batch_(first_batch) {}
  std::array<Tensor, N> batch(int64_t number) const {
    std::array<Tensor, N> batch = loader_.tensors_;
    for (Tensor& tensor : batch) tensor = loader_.order_.batch(tensor, order_, number);
    return batch;
  }

  TensorLoader loader_;
  Tensor order_;
  int64_t first_batch_;
};

}  // namespace gradus
