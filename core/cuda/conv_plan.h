// Which of cuDNN's engines a convolution takes: chosen and checked once per problem, then kept.
#pragma once

#include "core/conv_key.h"
#include "core/cuda/plain_conv.h"

namespace gradus::cuda {

/// Runs one pass on channels-last operands whose memory begins at multiples of 16 bytes. False where cuDNN has no
/// engine for it that the settings allow (core/accelerator.h) and that passes its check; the output is unchanged then.
bool library_conv(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec);

/// Largest relative L2 error against plain sums that an engine may show: see plain_conv.h. Rounding of TF32's and
/// bfloat16's operands to 11 and 8 bits makes 3e-4 and 1e-3; a wrong algorithm makes 0.1 and more.
double tolerated_error(DType dtype, bool tf32);

/// How a problem is named in a file of plans and in warnings: "conv2d float32 x [128,3,32,32] w [96,3,3,3] stride ...".
std::string describe(const ConvKey& key);

}  // namespace gradus::cuda
