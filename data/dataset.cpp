#include "data/dataset.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "data/md5.h"
#include "data/permutation.h"

namespace gradus {

struct Dataset::Content {
  DatasetInfo info;
  std::vector<uint8_t> pixels;
  std::vector<int32_t> labels;
};

Dataset::Dataset(DatasetInfo info, std::vector<uint8_t> pixels, std::vector<int32_t> labels) {
  if (info.channels < 1 || info.height < 1 || info.width < 1)
    fail(ErrorKind::shape, "dataset", info.name, ": expects at least one channel, row and column, got images of ",
         info.channels, "x", info.height, "x", info.width);
  const uint64_t expected = static_cast<uint64_t>(info.channels * info.height * info.width) * labels.size();
  if (pixels.size() != expected)
    fail(ErrorKind::shape, "dataset", info.name, ": ", labels.size(), " labels and images of ", info.channels, "x",
         info.height, "x", info.width, " make ", expected, " bytes of pixels, but there are ", pixels.size());
  for (size_t i = 0; i < labels.size(); ++i)
    if (labels[i] < 0 || static_cast<size_t>(labels[i]) >= info.class_names.size())
      fail(ErrorKind::value, "dataset", info.name, ": image ", i, " has label ", labels[i], ", but there are ",
           info.class_names.size(), " classes");
  content_ = std::make_shared<const Content>(Content{std::move(info), std::move(pixels), std::move(labels)});
}

const Dataset::Content& Dataset::content() const {
  static const Content none;
  return content_ ? *content_ : none;
}

const DatasetInfo& Dataset::info() const { return content().info; }
std::span<const uint8_t> Dataset::pixels() const { return content().pixels; }
std::span<const int32_t> Dataset::labels() const { return content().labels; }

size_t detail::checked_index(int64_t index, int64_t size, const std::string& name) {
  if (index < 0 || index >= size)
    fail(ErrorKind::value, "dataset", "image ", index, " was asked of ", name, ", which has ", size);
  return static_cast<size_t>(index);
}

std::span<const uint8_t> Dataset::image(int64_t index) const {
  const size_t bytes = static_cast<size_t>(image_size());
  return pixels().subspan(detail::checked_index(index, size(), name()) * bytes, bytes);
}

std::string Dataset::checksum() const {
  Md5 md5;
  for (int64_t value : {size(), info().channels, info().height, info().width, num_classes()}) {
    uint8_t bytes[8];
    for (int i = 0; i < 8; ++i) bytes[i] = static_cast<uint8_t>(value >> (8 * i));
    md5.update(bytes);
  }
  md5.update(pixels());
  for (int32_t label : labels()) {
    const uint8_t bytes[2] = {static_cast<uint8_t>(label), static_cast<uint8_t>(label >> 8)};
    md5.update(bytes);
  }
  return md5.hex_digest();
}

Dataset Dataset::class_balanced_subset(int64_t count) const {
  if (count < 1 || count > size())
    fail(ErrorKind::value, "dataset", "a subset of ", count, " images was asked of ", name(), ", which has ", size(),
         ": ask for 1 to ", size());
  if (count == size()) return *this;
  std::vector<std::vector<int64_t>> members(info().class_names.size());
  for (int64_t i = 0; i < size(); ++i) members[static_cast<size_t>(label(i))].push_back(i);

  // The n-th image of every class in turn, in an order drawn once and for all.
  constexpr uint64_t subset_seed = 0x5eed0f5b5e7;
  std::vector<std::vector<int64_t>> order;
  for (size_t c = 0; c < members.size(); ++c)
    order.push_back(random_permutation(static_cast<int64_t>(members[c].size()), subset_seed, c));
  std::vector<int64_t> chosen;
  for (size_t round = 0; std::cmp_less(chosen.size(), count); ++round)
    for (size_t c = 0; c < members.size() && std::cmp_less(chosen.size(), count); ++c)
      if (round < members[c].size()) chosen.push_back(members[c][static_cast<size_t>(order[c][round])]);
  std::sort(chosen.begin(), chosen.end());

  std::vector<uint8_t> pixels;
  std::vector<int32_t> labels;
  pixels.reserve(static_cast<size_t>(count * image_size()));
  for (int64_t index : chosen) {
    const auto one = image(index);
    pixels.insert(pixels.end(), one.begin(), one.end());
    labels.push_back(static_cast<int32_t>(label(index)));
  }
  return Dataset(info(), std::move(pixels), std::move(labels));
}

}  // namespace gradus
