// The optimizer's part of a training step: each preconditioner with each of two rules, beside plain momentum.
#include <iomanip>
#include <memory>
#include <sstream>

#include "apps/bench/benchmarks.h"
#include "apps/bench/measure.h"
#include "apps/bench/setup.h"
#include "apps/common/command_line.h"
#include "apps/common/memory.h"
#include "core/parallel.h"

namespace gradus::apps::bench {
namespace {

struct Flags : MeasureFlags {
  std::string model = "all_cnn";
  int64_t batch = 128, steps = 20;
};

void run(const Flags& flags) {
  if (flags.threads > 0) set_num_threads(static_cast<int>(flags.threads));
  struct Row {
    std::string rule, preconditioner;
    std::unique_ptr<TrainingSubject> subject;
    std::vector<double> times;
  };
  std::vector<Row> rows;
  for (const char* rule : {"momentum", "adam"})
    for (const char* preconditioner : {"none", "s-hd", "fop", "fop-norm", "pp-hd"}) {
      rows.push_back({rule,
                      preconditioner,
                      std::make_unique<TrainingSubject>(flags.model, flags.batch, rule, preconditioner),
                      {}});
      rows.back().subject->step();  // leaves gradients for the updates below
      rows.back().subject->update();
    }
  std::vector<double> whole;
  for (int64_t round = 0; round < flags.rounds; ++round) {
    whole.push_back(seconds_of([&] { rows.front().subject->step(); }));
    for (Row& row : rows)
      row.times.push_back(seconds_of([&] {
                            for (int64_t i = 0; i < flags.steps; ++i) row.subject->update();
                          }) /
                          static_cast<double>(flags.steps));
  }
  const double step = median(whole), momentum = median(rows.front().times);
  if (!flags.json) {
    print_line("optimizer steps on " + flags.model + "; a training step with momentum takes " +
               exact(std::round(step * 1e4) / 10) + " ms");
    print_line("rule      preconditioner   ms/step   over momentum   share of the step   state bytes");
  }
  for (Row& row : rows) {
    const double time = median(row.times), extra = time - momentum;
    const auto bytes = row.subject->optimizer().state_bytes();
    if (flags.json) {
      print_line(Record{
          {"rule", row.rule},
          {"preconditioner", row.preconditioner},
          {"step_ms", time * 1e3},
          {"extra_ms", extra * 1e3},
          {"extra_share", extra / step},
          {"state_bytes",
           bytes}}.json());
      continue;
    }
    std::ostringstream line;
    line << std::left << std::setw(10) << row.rule << std::setw(16) << row.preconditioner << std::right << std::fixed
         << std::setprecision(3) << std::setw(8) << time * 1e3 << std::setw(13) << extra * 1e3 << " ms"
         << std::setprecision(2) << std::setw(18) << 100 * extra / step << " %" << std::setw(14) << bytes;
    print_line(line.str());
  }
  if (flags.json)
    print_line(Record{{"step_ms", step * 1e3},
                      {"momentum_ms", momentum * 1e3},
                      {"peak_rss_mb", peak_rss_mb()},
                      {"model", flags.model},
                      {"batch", flags.batch},
                      {"threads", int64_t{num_threads()}}}
                   .json());
}

}  // namespace

std::function<void()> add_optimizer(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("--model", flags->model, "model by name");
  app.add_option("--batch", flags->batch, "images per step of the whole training step")->check(at_least(1));
  app.add_option("--steps", flags->steps, "optimizer steps per round")->check(at_least(1));
  flags->add_to(app);
  return [flags] { run(*flags); };
}

}  // namespace gradus::apps::bench
