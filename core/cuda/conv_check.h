// The check that an algorithm must pass before it computes anything of a user's: one run on random operands, compared
// with plain sums.
#pragma once

#include <functional>
#include <string>

#include "core/conv_key.h"
#include "core/cuda/plain_conv.h"

namespace gradus::cuda {

ConvKey make_key(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec);

/// How a problem is named in a file of plans and in warnings: "conv2d float32 x [128,3,32,32] w [96,3,3,3] stride ...".
std::string describe(const ConvKey& key);

/// Largest relative L2 error against plain sums that an algorithm may show: see plain_conv.h. Rounding of TF32's and
/// bfloat16's operands to 11 and 8 bits makes 3e-4 and 1e-3; a wrong algorithm makes 0.1 and more.
double tolerated_error(DType dtype, bool tf32);

/// Channels-last operands of the problem's shapes and dtypes, of random numbers but for the output. A bias has the
/// weight's dtype.
ConvOperands random_operands(const ConvKey& key);

/// Whether run() computes the convolution of these operands, as it leaves them. It returns what failed, if anything
/// did. An algorithm that does not pass is named in a warning. For the host: waits for the device, and throws where
/// work is captured.
bool passes_check(const ConvKey& key, const ConvOperands& operands, const std::string& algorithm,
                  const std::function<std::string()>& run);

/// Whether ReLU within an algorithm keeps NaN, as ours does: run(operands) on NaN for x leaves it in every y that any
/// x reaches. True where there is no ReLU. An algorithm that does not is named in a warning. For the host, as above.
bool keeps_nan(const ConvKey& key, const ConvOperands& operands, const std::string& algorithm,
               const std::function<void(const ConvOperands&)>& run);

/// Whether an algorithm of ours passes its check for a problem like this one. The first time it runs on random
/// operands; from then on the answer is remembered.
bool passes_once(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec, const std::string& algorithm,
                 const std::function<void(const ConvOperands&)>& run);

}  // namespace gradus::cuda
