// Which of cuDNN's engines a convolution takes: chosen and checked once per problem, then kept.
#pragma once

#include "core/cuda/plain_conv.h"

namespace gradus::cuda {

/// Runs one pass on channels-last operands whose memory begins at multiples of 16 bytes. False where cuDNN has no
/// engine for it that the settings allow (core/accelerator.h) and that passes its check; the output is unchanged then.
bool library_conv(ConvPass pass, const ConvOperands& operands, const Conv2dSpec& spec);

}  // namespace gradus::cuda
