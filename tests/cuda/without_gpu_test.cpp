// What a build for the GPU does where there is none: convolutions are described to cuDNN, and messages are clear.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <algorithm>

#include "core/cuda/context.h"
#include "core/cuda/conv_check.h"
#include "core/cuda/conv_graph.h"
#include "core/error.h"
#include "core/tensor.h"

using namespace gradus;
using namespace gradus::cuda;

namespace {

ConvKey key_of(ConvPass pass, bool bias, bool relu, DType dtype) {
  return {.pass = pass,
          .bias = bias,
          .relu = relu,
          .dtype = dtype,
          .x = {128, 96, 32, 32},
          .w = {192, 96, 3, 3},
          .y = {128, 192, 16, 16},
          .spec = {.stride = {2, 2}, .padding = {0, 0, 1, 1}}};
}

std::vector<int64_t> integers(const Descriptor& descriptor, cudnnBackendAttributeName_t name, int64_t count) {
  std::vector<int64_t> values(static_cast<size_t>(count));
  REQUIRE(descriptor.get(name, CUDNN_TYPE_INT64, count, values.data()) == count);
  return values;
}

bool gpu_is_there() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
}

}  // namespace

TEST_CASE("every pass is a graph that cuDNN accepts, of one operation or of what follows the convolution too") {
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    CHECK(ConvGraph(key_of(ConvPass::forward, false, false, dtype)).operations().size() == 1);
    CHECK(ConvGraph(key_of(ConvPass::forward, true, false, dtype)).operations().size() == 2);
    CHECK(ConvGraph(key_of(ConvPass::forward, true, true, dtype)).operations().size() == 3);
    CHECK(ConvGraph(key_of(ConvPass::forward, false, true, dtype)).operations().size() == 2);
    CHECK(ConvGraph(key_of(ConvPass::grad_input, false, false, dtype)).operations().size() == 1);
    CHECK(ConvGraph(key_of(ConvPass::grad_weight, false, false, dtype)).operations().size() == 1);
  }
}

TEST_CASE("a graph's convolution has the geometry of the spec, unequal paddings included") {
  const ConvGraph graph(key_of(ConvPass::forward, false, false, DType::float32));
  const Descriptor& operation = graph.operations().front();
  Descriptor convolution(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  cudnnBackendDescriptor_t raw = convolution.raw();
  operation.get(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &raw);
  CHECK(integers(convolution, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 2) == std::vector<int64_t>{0, 0});
  CHECK(integers(convolution, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, 2) == std::vector<int64_t>{1, 1});
  CHECK(integers(convolution, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 2) == std::vector<int64_t>{2, 2});
}

namespace {

/// An H200 as cuDNN describes a GPU: with it cuDNN plans for one that is not there.
const char* const h200 =
    R"({"maxGridSize":[2147483647,65535,65535],"maxBlockSize":[1024,1024,64],"regsPerBlock":65536,)"
    R"("multiProcessorCount":132,"warpSize":32,"maxSharedMemoryPerBlock":49152,"maxSharedMemoryPerBlockOptin":232448,)"
    R"("reservedSharedMemoryPerBlock":1024,"maxRegistersPerSM":65536,"maxCtasPerSM":32,"maxThreadsPerBlock":1024,)"
    R"("maxThreadsPerSM":2048,"pciDeviceId":0,"isTccDriver":0,"supportCoopLaunch":1,"totalGlobalMem":150754820096,)"
    R"("smClockRateKHz":1980000,"memClockRateKHz":3201000,"l2CacheSize":62914560,"cudaDeviceId":0,"deviceVer":900,)"
    R"("driverVer":13000,"deviceName":"NVIDIA H200"})";

struct Layer {
  int64_t in, out, kernel, stride, extent;
  bool same;  ///< TensorFlow's padding, which is unequal at stride 2; else a half of the kernel on every side
};
// All-CNN-C's layers, whose first and last have channels that are no multiple of anything.
constexpr Layer layers[] = {{3, 96, 3, 1, 32, false},   {96, 96, 3, 1, 32, false},  {96, 96, 3, 2, 32, true},
                            {96, 96, 3, 2, 32, false},  {192, 192, 3, 2, 16, true}, {192, 192, 3, 1, 8, false},
                            {192, 192, 1, 1, 8, false}, {192, 10, 1, 1, 8, false}};

ConvKey key_of(const Layer& l, ConvPass pass, bool fused, DType dtype) {
  const int64_t before = l.same ? 0 : l.kernel / 2, after = l.same ? 1 : l.kernel / 2;
  const int64_t extent = (l.extent + before + after - l.kernel) / l.stride + 1;
  return {.pass = pass,
          .bias = fused,
          .relu = fused,
          .dtype = dtype,
          .x = {128, l.in, l.extent, l.extent},
          .w = {l.out, l.in, l.kernel, l.kernel},
          .y = {128, l.out, extent, extent},
          .spec = {.stride = {l.stride, l.stride}, .padding = {before, before, after, after}}};
}

}  // namespace

TEST_CASE("cuDNN has an engine on an H200 for every pass of All-CNN-C, deterministic and in every precision") {
  const Target target(h200);
  for (const Layer& layer : layers)
    for (const DType dtype : {DType::float32, DType::bfloat16})
      for (const ConvPass pass : {ConvPass::forward, ConvPass::grad_input, ConvPass::grad_weight})
        for (const bool fused : {false, true}) {
          if (fused && pass != ConvPass::forward) continue;
          const ConvKey key = key_of(layer, pass, fused, dtype);
          INFO(describe(key));
          const auto graph = ConvGraph(key).bind(target);
          REQUIRE(graph);
          std::vector<Proposal> list;
          Proposals proposals(target, *graph);
          while (std::optional<Proposal> proposal = proposals.next()) list.push_back(std::move(*proposal));
          for (const bool tf32 : {false, true}) {
            const auto fits = [&](const Proposal& p) { return allowed(p, dtype, {.tf32 = tf32}); };
            const auto first = std::find_if(list.begin(), list.end(), fits);
            REQUIRE(first != list.end());
            CHECK(first->deterministic);
            CHECK((dtype == DType::bfloat16 || tf32 || !first->tensor_cores));
            CHECK(first->name.starts_with("engine "));
            CHECK(make_plan(target, *first));
          }
          for (size_t i = 0; i < list.size(); ++i)
            for (size_t j = i + 1; j < list.size(); ++j) CHECK(list[i].name != list[j].name);
        }
}

TEST_CASE("engines that are not deterministic need fast, and those that round float32 need tf32") {
  Proposal plain{.deterministic = true, .tensor_cores = false, .converts_down = false};
  CHECK(allowed(plain, DType::float32, {}));
  plain.deterministic = false;
  CHECK_FALSE(allowed(plain, DType::float32, {}));
  CHECK(allowed(plain, DType::float32, {.fast = true}));
  for (const bool converts : {false, true}) {
    const Proposal rounding{.deterministic = true, .tensor_cores = !converts, .converts_down = converts};
    CHECK_FALSE(allowed(rounding, DType::float32, {}));
    CHECK(allowed(rounding, DType::float32, {.tf32 = true}));
    CHECK(allowed(rounding, DType::bfloat16, {}));
  }
}

TEST_CASE("a shape that no convolution has is an error of the backend") {
  ConvKey key = key_of(ConvPass::forward, false, false, DType::float32);
  key.y = {128, 192, 17, 16};
  CHECK_THROWS_AS(ConvGraph{key}, Error);
}

TEST_CASE("a problem's name tells all that its plan depends on") {
  ConvKey key = key_of(ConvPass::forward, true, true, DType::bfloat16);
  key.variant = 3;
  CHECK(describe(key) ==
        "conv2d bfloat16 x [128,96,32,32] w [192,96,3,3] stride [2,2] padding [0,0,1,1] dilation [1,1] groups 1 bias "
        "relu "
        "tf32 fast");
}

TEST_CASE("the runtime's errors say what to do") {
  CHECK(explain(cudaErrorNoDevice, "", 13000, 13000) ==
        "no NVIDIA GPU is visible; see nvidia-smi and CUDA_VISIBLE_DEVICES, or use a build with -Ddevice=cpu");
  CHECK(explain(cudaErrorInsufficientDriver, "", 13000, 12040) ==
        "the NVIDIA driver supports CUDA 12.4, but this build needs 13.0; update the driver");
  CHECK(explain(cudaErrorInsufficientDriver, "", 13000, 0) ==
        "no NVIDIA driver is installed, so no GPU is visible; see nvidia-smi, or use a build with -Ddevice=cpu");
  CHECK(explain(cudaErrorNoKernelImageForDevice, "", 13000, 13000) ==
        "this build has no code for this GPU; configure with -Dgpu_archs set to its compute capability, such as 9.0");
  CHECK(explain(cudaErrorMemoryAllocation, "a stream", 13000, 13000) ==
        "a stream: the GPU has no memory left; use a smaller batch or model");
  CHECK(explain(cudaErrorIllegalAddress, "starting a kernel", 13000, 13000) ==
        "starting a kernel: an illegal memory access was encountered (cudaErrorIllegalAddress)");
}

TEST_CASE("without a GPU the first use of the device is one clear error, and so is every later one") {
  if (gpu_is_there()) {
    MESSAGE("skipped: there is a GPU");
    return;
  }
  for (int attempt = 0; attempt < 2; ++attempt) {
    try {
      Tensor::zeros({2});
      FAIL("a tensor was made on no device");
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::device);
      const std::string line = error.what();
      CHECK(line.starts_with("[cuda] no NVIDIA "));
      CHECK(line.find('\n') == std::string::npos);
    }
  }
}
