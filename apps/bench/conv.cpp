// Every convolution of a model, forward and both gradients: ours by each algorithm, and in turn with them the fastest
// primitive that oneDNN has for the same shapes.
#include <algorithm>
#include <iomanip>
#include <memory>
#include <sstream>

#include "apps/bench/benchmarks.h"
#include "apps/bench/measure.h"
#include "apps/bench/onednn_conv.h"
#include "apps/common/command_line.h"
#include "core/convolution.h"
#include "core/ops.h"
#include "core/parallel.h"
#include "core/random.h"

namespace gradus::apps::bench {
namespace {

struct Layer {
  int64_t side, in, out, kernel, stride;
};

const std::vector<Layer> all_cnn = {{32, 3, 96, 3, 1},   {32, 96, 96, 3, 1},   {32, 96, 96, 3, 2},
                                    {16, 96, 192, 3, 1}, {16, 192, 192, 3, 1}, {16, 192, 192, 3, 2},
                                    {8, 192, 192, 3, 1}, {8, 192, 192, 1, 1},  {8, 192, 10, 1, 1}};
const std::vector<Layer> resnet18 = {{224, 3, 64, 7, 2},   {56, 64, 64, 3, 1},   {56, 64, 128, 3, 2},
                                     {56, 64, 128, 1, 2},  {28, 128, 128, 3, 1}, {28, 128, 256, 3, 2},
                                     {28, 128, 256, 1, 2}, {14, 256, 256, 3, 1}, {14, 256, 512, 3, 2},
                                     {14, 256, 512, 1, 2}, {7, 512, 512, 3, 1}};

struct ConvFlags : MeasureFlags {
  std::string model = "all_cnn", dtype = "float32";
  int64_t batch = 0;
};

/// What takes turns, and the median of its times.
struct Contestant {
  std::string name;
  std::function<void()> run;
  double ms = 0;
};

void take_turns(std::vector<Contestant>& contestants, int64_t rounds) {
  std::vector<std::vector<double>> times(contestants.size());
  for (int64_t round = 0; round <= rounds; ++round)
    for (size_t c = 0; c < contestants.size(); ++c) {
      const double time = seconds_of(contestants[c].run);
      if (round > 0) times[c].push_back(time);  // the first makes plans and touches memory
    }
  for (size_t c = 0; c < contestants.size(); ++c) contestants[c].ms = 1e3 * median(times[c]);
}

constexpr int name_width = 30;  // the longest has 28

/// One pass of one layer.
Record compare(const Layer& layer, Pass pass, DType dtype, const ConvFlags& flags) {
  const int64_t pad = layer.kernel / 2;
  const Conv2dSpec spec{.stride = {layer.stride, layer.stride}, .padding = {pad, pad, pad, pad}};
  const auto activation = [&](const Shape& shape) {
    return cast(contiguous(random_normal(shape, 0, 1, {}), Layout::channels_last), dtype);
  };
  const Tensor x = activation({flags.batch, layer.in, layer.side, layer.side});
  const Tensor w = random_normal({layer.out, layer.in, layer.kernel, layer.kernel}, 0, 0.05, {});
  const Tensor bias = Tensor::zeros({layer.out});
  const Shape y = conv2d_shape(x.shape(), w.shape(), spec);
  const Tensor gy = activation(y);
  const auto ours = [&](ConvAlgorithm algorithm) {
    set_conv_algorithm(algorithm);
    switch (pass) {
      case Pass::forward: conv2d(x, w, bias, spec, true); break;
      case Pass::grad_input: conv2d_grad_input(gy, w, spec, x.shape()); break;
      case Pass::grad_weight: conv2d_grad_weight(gy, x, spec, w.shape()); break;
    }
  };
  std::vector<Contestant> contestants = {{"auto", [&] { ours(ConvAlgorithm::automatic); }},
                                         {"direct", [&] { ours(ConvAlgorithm::direct); }},
                                         {"winograd", [&] { ours(ConvAlgorithm::winograd); }}};
  const size_t own = contestants.size();
  for (Primitive& primitive : onednn_primitives(pass, x.shape(), w.shape(), y, spec, dtype))
    contestants.push_back({primitive.name, std::move(primitive.run)});
  take_turns(contestants, flags.rounds);

  Record record;
  for (size_t c = 0; c < own; ++c) record.add(contestants[c].name + "_ms", contestants[c].ms);
  record.add("gflop", 2e-9 * static_cast<double>(numel(y) * layer.in * layer.kernel * layer.kernel));
  if (contestants.size() > own) {
    const auto best = std::min_element(contestants.begin() + static_cast<int64_t>(own), contestants.end(),
                                       [](const Contestant& a, const Contestant& b) { return a.ms < b.ms; });
    record.add("onednn_ms", best->ms);
    record.add("onednn", best->name);
    record.add("ratio", best->ms / contestants[0].ms);
  }
  return record;
}

std::string table_line(const std::string& layer, const char* pass, const Record& record) {
  std::ostringstream line;
  const auto time = [&](std::string_view name) {
    line << std::setw(10);
    if (const double value = record.number(name); value > 0)
      line << value;
    else
      line << "-";
  };
  line << std::left << std::setw(name_width) << layer << std::setw(12) << pass << std::right << std::fixed
       << std::setprecision(2);
  time("direct_ms");
  time("winograd_ms");
  time("auto_ms");
  line << std::setw(9) << std::setprecision(0) << 1e3 * record.number("gflop") / record.number("auto_ms")
       << std::setprecision(2);
  time("onednn_ms");
  time("ratio");
  if (const Record::Value* name = record.find("onednn")) line << "  " << std::get<std::string>(*name);
  return line.str();
}

void bench_conv(ConvFlags flags) {
  use_threads(flags.threads);
  const bool is_all_cnn = flags.model == "all_cnn";
  if (flags.batch == 0) flags.batch = is_all_cnn ? 128 : 16;
  const DType dtype = flags.dtype == "bfloat16" ? DType::bfloat16 : DType::float32;
  if (!flags.json)
    print_line(
        "layer                         pass            direct  winograd      auto  GFLOP/s    oneDNN     ratio  the "
        "fastest "
        "of oneDNN");
  double ours = 0, ours_beside = 0, theirs = 0;  // in all, and of the passes that oneDNN has a primitive for
  const std::vector<Layer>& layers = is_all_cnn ? all_cnn : resnet18;
  for (size_t i = 0; i < layers.size(); ++i) {
    const Layer& layer = layers[i];
    std::ostringstream name;
    name << std::setw(2) << i + 1 << std::setw(5) << layer.in << " -> " << layer.out << ", " << layer.kernel << "x"
         << layer.kernel << " /" << layer.stride << ", " << layer.side << "^2";
    for (const auto& [pass, title] : {std::pair(Pass::forward, "forward"), std::pair(Pass::grad_input, "grad_input"),
                                      std::pair(Pass::grad_weight, "grad_weight")}) {
      if (i == 0 && pass == Pass::grad_input) continue;  // no step needs it
      const Record record = compare(layer, pass, dtype, flags);
      ours += record.number("auto_ms");
      if (record.find("onednn_ms")) {
        ours_beside += record.number("auto_ms");
        theirs += record.number("onednn_ms");
      }
      if (flags.json) {
        Record line = {{"layer", static_cast<int64_t>(i + 1)}, {"pass", std::string(title)}};
        line.add(record);
        print_line(line.json());
      } else {
        print_line(table_line(name.str(), title, record));
      }
    }
  }
  Record total = {{"auto_ms", ours}, {"model", flags.model}, {"dtype", flags.dtype}, {"batch", flags.batch}};
  if (theirs > 0) total.add({{"onednn_ms", theirs}, {"ratio", theirs / ours_beside}});
  total.add("threads", int64_t{num_threads()});
  print_line(total.json());
}

}  // namespace

std::function<void()> add_conv(CommandLine& line) {
  auto flags = std::make_shared<ConvFlags>();
  line.add("--model", flags->model, "whose layers", one_of({"all_cnn", "resnet18"}));
  line.add("--dtype", flags->dtype, "of activations; weights are float32", one_of({"float32", "bfloat16"}));
  line.add("--batch", flags->batch, "images; 0: 128 for all_cnn, 16 for resnet18", at_least(0));
  flags->add_without_against(line);
  return [flags] { bench_conv(*flags); };
}

}  // namespace gradus::apps::bench
