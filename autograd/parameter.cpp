#include "autograd/parameter.h"

#include "core/check_defined.h"
#include "core/error.h"
#include "core/ops.h"

namespace gradus {

Parameter::Parameter(const Tensor& value, ParamInfo info)
    : Var(Var::leaf(value)), info_(std::move(info)), observers_(std::make_shared<Observers>()) {}

void Parameter::observe_input(const std::shared_ptr<InputObserver>& observer) const { observers_->push_back(observer); }

void Parameter::show(const Tensor& x) const {
  std::erase_if(*observers_, [](const auto& observer) { return observer.expired(); });
  for (const auto& observer : Observers(*observers_))
    if (const auto alive = observer.lock()) alive->see(x);
}

Tensor matrix_view(const Tensor& tensor, const ParamInfo& info, MatrixSide side) {
  if (!tensor.defined())
    check::fail_undefined("matrix_view", text("the tensor for parameter '", info.name, "'").c_str());
  // A bias or a scale has one number per output.
  const bool per_output = info.role == ParamRole::bias || info.role == ParamRole::scale;
  const int64_t out = per_output ? tensor.numel() : info.out;
  const int64_t in = per_output ? 1 : info.in;
  const int64_t positions = per_output ? 1 : info.kernel[0] * info.kernel[1];
  if (out * in * positions != tensor.numel())
    fail(ErrorKind::shape, "matrix_view", "parameter '", info.name, "' has ", out, " outputs, ", in, " inputs and ",
         positions, " positions, which a tensor ", tensor.shape(), " does not hold");
  if (side == MatrixSide::spatial) return reshape(tensor, {out * in, positions});
  const bool in_first = info.layer == LayerKind::conv_transpose && !per_output;
  const Tensor out_first =
      in_first ? transpose(reshape(tensor, {info.groups, in, out / info.groups, positions}), 1, 2) : tensor;
  const Tensor cube = reshape(out_first, {out, in, positions});
  switch (side) {
    case MatrixSide::spatial: break;
    case MatrixSide::in: return reshape(transpose(cube, 1, 2), {out * positions, in});
    case MatrixSide::out: return reshape(permute(cube, {1, 2, 0}), {in * positions, out});
  }
  fail(ErrorKind::value, "matrix_view", "unknown side ", static_cast<int>(side));
}

}  // namespace gradus
