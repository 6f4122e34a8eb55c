#include "apps/reproduce/context.h"

#include "apps/common/command_line.h"
#include "core/error.h"

namespace gradus::reproduce {

const char* name(Scale scale) {
  constexpr const char* names[] = {"smoke", "cpu", "paper"};
  return names[static_cast<size_t>(scale)];
}

std::vector<uint64_t> Context::seeds(int64_t smoke, int64_t cpu, int64_t paper) const {
  const int64_t count = request_.seeds > 0 ? request_.seeds : by_scale(smoke, cpu, paper);
  std::vector<uint64_t> seeds;
  for (int64_t i = 0; i < count; ++i) seeds.push_back(static_cast<uint64_t>(i));
  return seeds;
}

const ImageData& Context::images(Images images) const {
  auto& data = data_[static_cast<size_t>(images)];
  if (!data) {
    data = images == Images::none ? ImageData() : find_images(images, request_.data, scale() == Scale::smoke);
    for (const std::string& note : data->notes) apps::note(note);
  }
  return *data;
}

const Outcome* Context::find(const Run& run) const {
  const std::string key = this->key(run);
  auto found = found_.find(key);
  if (found == found_.end()) {
    std::optional<Outcome> outcome = ledger_.find(key);
    if (!outcome) return nullptr;
    found = found_.emplace(key, std::move(*outcome)).first;
  }
  return &found->second;
}

const Outcome& Context::at(const Run& run) const {
  if (const Outcome* outcome = find(run)) return *outcome;
  fail(ErrorKind::value, "reproduce", "the training '", run.name, "' is not finished");
}

}  // namespace gradus::reproduce
