// Saving and loading an optimizer by name, strictly.
#include "core/error.h"
#include "core/ops.h"
#include "core/state_dict.h"
#include "optim/optimizer_impl.h"

namespace gradus::optim {
namespace {

const Shape nothing{0};
constexpr const char* step_name = "optimizer/step";

/// The slot as a tensor: numbers have rank 0, and a tensor that is undefined now has shape [0].
Tensor saved(const Slot& slot) {
  if (const auto* number = std::get_if<double*>(&slot.value)) return Tensor::full({}, **number, DType::float64);
  if (const auto* count = std::get_if<int64_t*>(&slot.value)) return Tensor::from<int64_t>({**count}, {});
  const Tensor& tensor = *std::get<Tensor*>(slot.value);
  return tensor.defined() ? tensor : Tensor::empty(nothing, slot.like.dtype());
}

/// What load() expects for the slot; where both nothing and something may come, what did come decides.
Tensor expected(const Slot& slot, const StateDict& given) {
  if (!std::holds_alternative<Tensor*>(slot.value)) return saved(slot);
  const auto found = given.find(slot.name);
  const bool empty = found != given.end() && found->second.shape() == nothing;
  const bool may_be_empty = std::get<Tensor*>(slot.value)->storage() != slot.like.storage();
  return empty && may_be_empty ? Tensor::empty(nothing, slot.like.dtype()) : slot.like;
}

void restore(const Slot& slot, const Tensor& from) {
  if (auto* const* number = std::get_if<double*>(&slot.value)) {
    **number = from.item();
  } else if (auto* const* count = std::get_if<int64_t*>(&slot.value)) {
    **count = from.to_vector<int64_t>().front();
  } else {
    Tensor& to = *std::get<Tensor*>(slot.value);
    if (to.defined() && to.storage() == slot.like.storage()) {
      copy_(to, from);  // in place: a rule may know it as its parameter
      return;
    }
    // Fresh memory in the same memory order: what is there may be shared (a kept gradient), and sums over the loaded
    // tensor must run in the same order.
    to = from.shape() == nothing && !(slot.like.shape() == nothing) ? Tensor() : Tensor::empty_like(slot.like);
    if (to.defined()) copy_(to, from);
  }
}

std::string name_of(size_t group, const std::string& setting) { return text("group.", group, "/", setting); }

/// What no optimizer could have written.
void check_numbers(const std::vector<OptimizerGroup>& groups, const StateDict& state) {
  if (const auto step = state.at(step_name).to_vector<int64_t>().front(); step < 0)
    fail(ErrorKind::value, "load", "expects a step of at least 0 in '", step_name, "', got ", step);
  for (size_t i = 0; i < groups.size(); ++i)
    for (const auto& [name, value] : groups[i].base) check_setting(name, state.at(name_of(i, name)).item());
}

/// Groups are numbered by their first parameters, so another order of parameters may give another one a group's number.
void check_members(const std::vector<OptimizerGroup>& groups, const StateDict& state) {
  for (size_t i = 0; i < groups.size(); ++i)
    if (state.at(name_of(i, "members")).to_vector<int64_t>().front() != groups[i].members)
      fail(ErrorKind::value, "load", "'group.", i, "' of the state has hyperparameters of other parameters than here: ",
           "build the optimizer over the same parameters, in the same order, with the same groups");
}

/// A state that was not cloned has the numbers of an earlier step beside the tensors of this one.
void check_kept(const std::vector<Slot>& slots, int64_t steps, const StateDict& state) {
  const int64_t step = state.at(step_name).to_vector<int64_t>().front();
  if (step == steps) return;
  for (const Slot& slot : slots) {
    auto* const* live = std::get_if<Tensor*>(&slot.value);
    if (live && (*live)->defined() && (*live)->numel() > 0 && (*live)->storage() == state.at(slot.name).storage())
      fail(ErrorKind::value, "load", "'", slot.name, "' shares its memory with the optimizer, whose step is ", steps,
           ", not ", step, ": keep a state by clone(optimizer.state())");
  }
}

}  // namespace

int64_t bytes_of(const Slots& slots) {
  int64_t bytes = 0;
  for (const Slot& slot : slots) {
    const auto* tensor = std::get_if<Tensor*>(&slot.value);
    if (!tensor)
      bytes += 8;
    else if ((*tensor)->defined())
      bytes += (*tensor)->numel() * static_cast<int64_t>(size_of((*tensor)->dtype()));
  }
  return bytes;
}

std::vector<Slot> Optimizer::Impl::slots() {
  std::vector<Slot> all{{step_name, &steps, {}}};
  if (scaling) all.push_back({"optimizer/step_scale", &step_scale, {}});
  if (scaling) all.push_back({"optimizer/scaled_steps", &scaled_steps, {}});
  for (size_t i = 0; i < groups.size(); ++i) {
    all.push_back({name_of(i, "members"), &groups[i].members, {}});
    for (auto& [name, value] : groups[i].base) all.push_back({name_of(i, name), &value, {}});
  }
  for (OptimizerItem& item : items) {
    Slots slots;
    item.slots(slots);
    for (const Slot& slot : slots) all.push_back({item.parameter.name() + "/" + slot.name, slot.value, slot.like});
  }
  return all;
}

int64_t Optimizer::state_bytes() const {
  int64_t bytes = 0;
  for (OptimizerItem& item : impl().items) {
    Slots slots;
    item.slots(slots);
    bytes += bytes_of(slots);
  }
  return bytes;
}

StateDict Optimizer::state() const {
  StateDict state;
  for (const Slot& slot : impl().slots()) state.emplace(slot.name, saved(slot));
  return state;
}

void Optimizer::load(const StateDict& state) {
  const std::vector<Slot> slots = impl().slots();
  StateDict own;
  for (const Slot& slot : slots) own.emplace(slot.name, expected(slot, state));
  check_same_state("the optimizer", own, state);
  check_numbers(impl().groups, state);
  check_members(impl().groups, state);
  check_kept(slots, impl().steps, state);
  for (const Slot& slot : slots) restore(slot, state.at(slot.name));
  for (OptimizerItem& item : impl().items)
    if (item.learner) item.learner->loaded(impl().step_scale);
}

}  // namespace gradus::optim
