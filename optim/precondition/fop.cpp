// Which form of FOP a parameter gets.
#include "optim/precondition/fop.h"

#include <algorithm>

#include "core/error.h"
#include "core/ranges.h"
#include "optim/precondition/fop_forms.h"

namespace gradus::optim {

std::unique_ptr<Preconditioner> Fop::make(const Site& site) const {
  if (norm != Norm::off && rescale)
    fail(ErrorKind::value, "fop", "norm and rescale both fix the scale of P; choose one of them");
  if (rank < 0 || max_dim < 0 || large_rank < 1)
    fail(ErrorKind::value, "fop", "expects rank >= 0, max_dim >= 0 and large_rank >= 1, got ", rank, ", ", max_dim,
         " and ", large_rank);
  if (rank > 0 && form != Form::identity_plus && form != Form::automatic)
    fail(ErrorKind::value, "fop", "a rank, here ", rank,
         ", is that of P = I + M M^T: Form::identity_plus, or automatic");
  if (rescale && !(is_positive(rescale->limit) && rescale->power >= 0))
    fail(ErrorKind::value, "fop", "expects a finite limit above 0 and a power of at least 0 to rescale by, got ",
         rescale->limit, " and ", rescale->power);
  if (!is_not_negative(init_gain))
    fail(ErrorKind::value, "fop", "expects a finite init_gain of at least 0, got ", init_gain);
  const ParamInfo& info = site.info;
  const bool conv =
      (info.layer == LayerKind::conv || info.layer == LayerKind::conv_transpose) && site.value.rank() == 4;
  const bool linear = info.layer == LayerKind::linear && site.value.rank() == 2;
  if (!is_weight(info) || !(conv || linear)) return nullptr;

  const bool fits = conv ? site.value.size(2) == info.kernel[0] && site.value.size(3) == info.kernel[1]
                         : site.value.size(1) == info.in;
  if (site.value.numel() == 0) return nullptr;
  if (!fits)
    fail(ErrorKind::shape, "fop", "'", info.name, "' is ", site.value.shape(), ", but its ParamInfo says ",
         conv ? text("kernel ", info.kernel[0], " x ", info.kernel[1]) : text("in ", info.in));
  const int64_t n = conv ? info.kernel[0] * info.kernel[1] : info.in;
  const FopSite place{
      info, conv ? MatrixSide::spatial : MatrixSide::in, site.value.numel() / n, n, site.value.dtype(), site.index};
  if (form == Form::identity_plus || (form == Form::automatic && linear)) {
    if (init_gain == 0)
      fail(ErrorKind::value, "fop", "P = I + M M^T never leaves M = 0: '", info.name, "' needs an init_gain above 0");
    const int64_t automatic_rank = n <= max_dim ? n : large_rank;
    return make_fop_low_rank(place, *this, std::min(n, rank ? rank : automatic_rank));
  }
  return make_fop_matrix(place, *this);
}

}  // namespace gradus::optim
