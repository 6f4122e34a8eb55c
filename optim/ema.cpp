// Averaging, and changing places with the model.
#include "optim/ema.h"

#include <algorithm>

#include "core/error.h"
#include "core/ops.h"
#include "core/ranges.h"

namespace gradus::optim {
namespace {

constexpr const char* count_name = "ema/updates";

}  // namespace

Ema::Ema(StateDict live, EmaOptions options) : live_(std::move(live)), options_(options) {
  if (!is_fraction(options_.decay)) fail(ErrorKind::value, "ema", "expects a decay in [0, 1), got ", options_.decay);
  for (const auto& [name, tensor] : live_) averages_.emplace(name, clone(tensor));
}

void Ema::update() {
  if (lent_) fail(ErrorKind::value, "ema", "the model holds the averages while an EmaScope lives; update before it");
  const auto n = static_cast<double>(updates_++);
  const double decay = options_.equal     ? n / (n + 1)
                       : options_.warm_up ? std::min(options_.decay, (1 + n) / (10 + n))
                                          : options_.decay;
  for (auto& [name, average] : averages_) {
    const Tensor& value = live_.at(name);
    if (is_floating(value.dtype()))
      axpby_(1 - decay, value, decay, average);
    else
      copy_(average, value);
  }
}

StateDict Ema::state() const {
  StateDict state = averages_;
  state.emplace(count_name, Tensor::from<int64_t>({updates_}, {}));
  return state;
}

void Ema::load(const StateDict& given) {
  if (lent_) fail(ErrorKind::value, "ema", "the model holds the averages while an EmaScope lives; load before it");
  check_same_state("the moving average", state(), given);
  const auto updates = given.at(count_name).to_vector<int64_t>().front();
  if (updates < 0) fail(ErrorKind::value, "ema", "expects '", count_name, "' of at least 0, got ", updates);
  for (const auto& [name, average] : averages_)
    if (updates != updates_ && average.numel() > 0 && given.at(name).storage() == average.storage())
      fail(ErrorKind::value, "ema", "'", name, "' shares its memory with these averages, of ", updates_,
           " updates, not ", updates, ": keep a state by clone(ema.state())");
  for (auto& [name, average] : averages_) copy_(average, given.at(name));
  updates_ = updates;
}

EmaScope::EmaScope(Ema& ema) : ema_(ema) {
  if (ema.lent_) fail(ErrorKind::value, "ema", "the model holds the averages already: another EmaScope lives");
  ema.swap();
}

void Ema::swap() {
  lent_ = !lent_;
  const auto exchange = [&](const std::string& name, Tensor& average) {
    Tensor& value = live_.at(name);
    const Tensor kept = clone(value);
    copy_(value, average);
    copy_(average, kept);
  };
  if (lent_) {
    for (auto& [name, average] : averages_) exchange(name, average);
  } else {  // in the other order: two may share memory, of which the first knows how it was
    for (auto entry = averages_.rbegin(); entry != averages_.rend(); ++entry) exchange(entry->first, entry->second);
  }
}

}  // namespace gradus::optim
