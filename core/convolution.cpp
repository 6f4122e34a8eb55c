#include "core/convolution.h"

#include <atomic>

#include "core/error.h"

namespace gradus {
namespace {

std::atomic<ConvAlgorithm> setting{ConvAlgorithm::automatic};

}  // namespace

void set_conv_algorithm(ConvAlgorithm algorithm) { setting = algorithm; }
ConvAlgorithm conv_algorithm() { return setting; }

ConvAlgorithm parse_conv_algorithm(std::string_view name) {
  if (name == "direct") return ConvAlgorithm::direct;
  if (name == "winograd") return ConvAlgorithm::winograd;
  if (name == "auto") return ConvAlgorithm::automatic;
  if (name == "measure") return ConvAlgorithm::measure;
  fail(ErrorKind::value, "convolution", "expects direct, winograd, auto or measure, got '", name, "'");
}

}  // namespace gradus
