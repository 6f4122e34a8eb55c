// Weights to PyTorch and back by the names of their modules.
#include "core/ops.h"
#include "core/random.h"
#include "core/safetensors.h"
#include "layers/container.h"
#include "layers/conv.h"
#include "layers/init.h"
#include "layers/linear.h"
#include "layers/norm.h"
#include "tests/data/temporary_folder.h"
#include "tests/read_back.h"

using namespace gradus;

TEST_CASE("PyTorch loads a model's safetensors by name and computes the same logits, and its own file loads here") {
  const std::string python = python_with("torch, safetensors.torch");
  if (python.empty()) return;
  const TemporaryFolder folder;
  manual_seed(3);
  Sequential net(Conv2d(3, 4, {.kernel = 3, .padding = 1}), BatchNorm2d(4), ReLU(), Flatten(), Linear(256, 5));
  net(random_normal({6, 3, 8, 8}, 0.3, 2, {.seed = 1}));  // running averages other than 0 and 1
  safetensors::save(folder / "net", net.state());
  const nlohmann::json seen = read_back(python, "torch " + folder / "net" + " " + folder / "back");
  CHECK(seen.size() == 9);
  CHECK(seen.at("1.num_batches_tracked") == nlohmann::json::parse(R"(["torch.int64",[]])"));
  CHECK(seen.at("0.weight") == nlohmann::json::parse(R"(["torch.float32",[4,3,3,3]])"));

  const safetensors::Content back = safetensors::load(folder / "back");
  CHECK(back.metadata.at("format") == "pt");
  net.eval();
  const Tensor difference = net(back.tensors.at("images")).value() - back.tensors.at("logits");
  CHECK(max(abs(difference)).item() < 1e-5);
  StateDict state;
  for (const auto& [name, tensor] : back.tensors)
    if (name.starts_with("net.")) state[name.substr(4)] = tensor;
  const Tensor before = clone(net.state().at("0.weight"));
  net.load(state);
  CHECK((net.state().at("0.weight") - before).to_vector<float>()[5] == doctest::Approx(1));
}
