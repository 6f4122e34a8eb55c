// Every convolution of All-CNN-C, forward and both gradients, by the direct method, by Winograd and by the fixed rule.
#include <iomanip>
#include <memory>
#include <sstream>

#include "apps/bench/benchmarks.h"
#include "apps/bench/measure.h"
#include "apps/common/command_line.h"
#include "core/convolution.h"
#include "core/ops.h"
#include "core/parallel.h"
#include "core/random.h"

namespace gradus::apps::bench {
namespace {

struct Layer {
  int number;
  int64_t side, in, out, kernel, stride;
};

constexpr Layer layers[] = {{1, 32, 3, 96, 3, 1},   {2, 32, 96, 96, 3, 1},   {3, 32, 96, 96, 3, 2},
                            {4, 16, 96, 192, 3, 1}, {5, 16, 192, 192, 3, 1}, {6, 16, 192, 192, 3, 2},
                            {7, 8, 192, 192, 3, 1}, {8, 8, 192, 192, 1, 1},  {9, 8, 192, 10, 1, 1}};

struct Flags : MeasureFlags {
  int64_t batch = 128;
};

void run(const Flags& flags) {
  if (flags.threads > 0) set_num_threads(static_cast<int>(flags.threads));
  constexpr ConvAlgorithm algorithms[] = {ConvAlgorithm::direct, ConvAlgorithm::winograd, ConvAlgorithm::automatic};
  if (!flags.json)
    print_line("layer                      pass           direct   winograd       auto   GFLOP/s of auto");
  double total[3] = {};
  for (const Layer& layer : layers) {
    const int64_t pad = layer.kernel / 2;
    const Conv2dSpec spec{.stride = {layer.stride, layer.stride}, .padding = {pad, pad, pad, pad}};
    const auto activation = [](const Shape& shape) {
      return contiguous(random_normal(shape, 0, 1, {}), Layout::channels_last);
    };
    const Tensor x = activation({flags.batch, layer.in, layer.side, layer.side});
    const Tensor w = random_normal({layer.out, layer.in, layer.kernel, layer.kernel}, 0, 0.05, {});
    const Tensor bias = Tensor::zeros({layer.out});
    const Shape y = conv2d_shape(x.shape(), w.shape(), spec);
    const Tensor gy = activation(y);
    const std::pair<const char*, std::function<void()>> passes[] = {
        {"forward", [&] { conv2d(x, w, bias, spec, true); }},
        {"grad_input", [&] { conv2d_grad_input(gy, w, spec, x.shape()); }},
        {"grad_weight", [&] { conv2d_grad_weight(gy, x, spec, w.shape()); }}};
    for (const auto& [pass, work] : passes) {
      if (layer.number == 1 && std::string(pass) == "grad_input") continue;  // no step needs it
      std::vector<double> times[3];
      for (int64_t round = 0; round <= flags.rounds; ++round)
        for (int a = 0; a < 3; ++a) {
          set_conv_algorithm(algorithms[a]);
          const double time = seconds_of(work);
          if (round > 0) times[a].push_back(time);  // the first makes the plan
        }
      double ms[3];
      for (int a = 0; a < 3; ++a) total[a] += ms[a] = 1e3 * median(times[a]);
      const double gflop = 2e-9 * static_cast<double>(numel(y) * layer.in * layer.kernel * layer.kernel);
      if (flags.json) {
        print_line(Record{
            {"layer", int64_t{layer.number}},
            {"pass", std::string(pass)},
            {"direct_ms", ms[0]},
            {"winograd_ms", ms[1]},
            {"auto_ms", ms[2]},
            {"gflop",
             gflop}}.json());
        continue;
      }
      std::ostringstream line;
      line << layer.number << "  " << std::setw(3) << layer.in << " -> " << std::setw(3) << layer.out << ", "
           << layer.kernel << "x" << layer.kernel << " /" << layer.stride << ", " << std::setw(2) << layer.side
           << "^2  " << std::left << std::setw(12) << pass << std::right << std::fixed << std::setprecision(2)
           << std::setw(9) << ms[0] << std::setw(11) << ms[1] << std::setw(11) << ms[2] << std::setprecision(0)
           << std::setw(14) << 1e3 * gflop / ms[2];
      print_line(line.str());
    }
  }
  print_line(Record{{"direct_ms", total[0]},
                    {"winograd_ms", total[1]},
                    {"auto_ms", total[2]},
                    {"batch", flags.batch},
                    {"threads", int64_t{num_threads()}}}
                 .json());
}

}  // namespace

std::function<void()> add_conv(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("--batch", flags->batch, "images")->check(at_least(1));
  flags->add_to(app);
  return [flags] { run(*flags); };
}

}  // namespace gradus::apps::bench
