#include "autograd/record.h"

#include "core/error.h"
#include "core/ops.h"

namespace gradus {
namespace {

void check_version(const Inputs& in, const Tensor& tensor, uint64_t version, const char* what) {
  if (tensor.defined() && tensor.version() != version)
    fail(ErrorKind::value, in.node().name(), "a tensor ", tensor.shape(), " saved for the gradient (", what,
         ") was changed in place since: it is at version ", tensor.version(), ", expected ", version,
         ". Clone it before the in-place change; a step of an optimizer is one too");
}

}  // namespace

const Var& Saved::plain(const Inputs& in) const {
  check_version(in, var_.value(), version_, "an input");
  return var_;
}

const Var& Saved::get(const Inputs& in) const {
  const Var& var = plain(in);
  if (in.squares_ && var.defined()) return in.squares_->emplace_front(square(var.value()));
  return var;
}

bool Saved::is(const Tensor& tensor) const {
  const Tensor& own = var_.value();
  return own.defined() && !var_.requires_grad() && own.storage() == tensor.storage() &&
         own.offset() == tensor.offset() && own.shape() == tensor.shape() && own.strides() == tensor.strides() &&
         own.dtype() == tensor.dtype() && version_ == tensor.version();
}

const Var& Saved::none() {
  static const Var undefined;
  return undefined;
}

Var SavedOutput::get(const Inputs& in) const {
  check_version(in, value_, version_, "the output");
  return Var(value_, NodePtr(&in.node()));
}

namespace detail {

void throw_released(const char* name) {
  fail(ErrorKind::value, "backward", "what '", name,
       "' saved for its gradient is gone: this graph was walked before. Pass {.retain_graph = true} to the first walk, "
       "or detach() "
       "what a state carries over from the step before");
}

}  // namespace detail
}  // namespace gradus
