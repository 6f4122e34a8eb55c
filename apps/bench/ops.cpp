// Single operations at sizes that training meets, forward and with their gradients, alone or beside another program's.
#include <algorithm>
#include <iomanip>
#include <map>
#include <memory>
#include <sstream>

#include "apps/bench/benchmarks.h"
#include "apps/bench/measure.h"
#include "apps/common/command_line.h"
#include "apps/common/progress.h"
#include "autograd/ops.h"
#include "core/error.h"
#include "core/joined.h"
#include "core/random.h"

namespace gradus::apps::bench {
namespace {

struct OpsFlags : MeasureFlags {
  std::string only;
};

/// An operation and the leaves that get gradients.
struct Operation {
  std::string name;
  std::vector<Var> leaves;
  std::function<Var()> run;
};

Var normal(const Shape& shape) { return Var::leaf(random_normal(shape, 0, 1, {.seed = 1})); }
Var positive(const Shape& shape) { return Var::leaf(random_uniform(shape, 0.1, 4, {.seed = 2})); }
Var image(const Shape& shape) { return Var::leaf(contiguous(normal(shape).value(), Layout::channels_last)); }
Tensor below(int64_t limit, const Shape& shape) {
  return cast(random_uniform(shape, 0, static_cast<double>(limit), {.seed = 3}), DType::int64);
}

/// torch_ops.py has the same under the same names.
std::vector<Operation> operations() {
  std::vector<Operation> list;
  const auto add = [&](const char* name, std::vector<Var> leaves, std::function<Var()> run) {
    list.push_back({name, std::move(leaves), std::move(run)});
  };
  const Var x = normal({256, 4096}), y = normal({256, 4096}), p = positive({256, 4096}), row = normal({4096});
  add("x + y", {x, y}, [=] { return x + y; });
  add("x + row", {x, row}, [=] { return x + row; });
  add("x * y", {x, y}, [=] { return x * y; });
  add("x / y", {x, p}, [=] { return x / p; });
  add("relu", {x}, [=] { return relu(x); });
  add("exp", {x}, [=] { return exp(x); });
  add("log", {p}, [=] { return log(p); });
  add("sqrt", {p}, [=] { return sqrt(p); });
  add("tanh", {x}, [=] { return tanh(x); });
  add("sigmoid", {x}, [=] { return sigmoid(x); });
  add("gelu", {x}, [=] { return gelu(x); });
  add("silu", {x}, [=] { return silu(x); });
  add("sin", {x}, [=] { return sin(x); });
  add("maximum", {x, y}, [=] { return maximum(x, y); });
  add("clamp", {x}, [=] { return clamp(x, -1, 1); });
  const Tensor condition = greater(x.value(), 0);
  add("where", {x, y}, [=] { return where(condition, x, y); });
  add("sum", {x}, [=] { return sum(x); });
  add("sum of rows", {x}, [=] { return sum(x, {1}); });
  add("sum of columns", {x}, [=] { return sum(x, {0}); });
  add("max of rows", {x}, [=] { return max(x, {1}); });
  add("softmax of 4096", {x}, [=] { return softmax(x, 1); });
  const Var narrow = normal({16384, 64});
  add("softmax of 64", {narrow}, [=] { return softmax(narrow, 1); });
  add("log_softmax of 64", {narrow}, [=] { return log_softmax(narrow, 1); });
  const Var logits = normal({256, 1000});
  const Tensor labels = below(1000, {256});
  add("cross_entropy of 1000", {logits}, [=] { return cross_entropy(logits, labels); });
  const Var tokens = normal({4096, 256}), gain = normal({256}), shift = normal({256});
  add("layer_norm", {tokens, gain, shift}, [=] { return layer_norm(tokens, {256}, gain, shift, 1e-5); });
  const Var images = image({64, 64, 32, 32}), scale = normal({64}), offset = normal({64});
  add("batch_norm", {images, scale, offset}, [=] { return batch_norm(images, scale, offset, 1e-5); });
  add("group_norm", {images, scale, offset}, [=] { return group_norm(images, 8, scale, offset, 1e-5); });
  for (const int64_t n : {128, 512, 1024}) {
    const Var a = normal({n, n}), b = normal({n, n});
    add(n == 128   ? "matmul of 128"
        : n == 512 ? "matmul of 512"
                   : "matmul of 1024",
        {a, b}, [=] { return matmul(a, b); });
  }
  const Var many = normal({64, 64, 64}), others = normal({64, 64, 64});
  add("matmul of 64 times 64", {many, others}, [=] { return matmul(many, others); });
  const Var rows = normal({1024, 256}), weight = normal({1024, 256}), bias = normal({1024});
  add("linear", {rows, weight, bias}, [=] { return linear(rows, weight, bias); });
  const Var q = normal({8, 8, 128, 32}), k = normal({8, 8, 128, 32}), v = normal({8, 8, 128, 32});
  add("attention", {q, k, v}, [=] { return attention(q, k, v); });
  const Var table = normal({10000, 256});
  const Tensor words = below(10000, {64, 128}), picked = below(256, {256}), each = below(4096, {256, 64});
  add("embedding", {table}, [=] { return embedding(table, words); });
  add("index_select", {x}, [=] { return index_select(x, 0, picked); });
  add("gather", {x}, [=] { return gather(x, 1, each); });
  add("concat", {x, y}, [=] { return concat({x, y}, 1); });
  const Var square_matrix = normal({1024, 1024}), planes = normal({64, 64, 32, 32});
  add("transposed copy", {square_matrix}, [=] { return contiguous(transpose(square_matrix, 0, 1)); });
  add("to channels_last", {planes}, [=] { return contiguous(planes, Layout::channels_last); });
  const auto convolution = [&](const char* name, const Shape& x_shape, const Shape& w_shape, const Conv2dSpec& spec) {
    const Var input = image(x_shape), w = normal(w_shape), b = normal({w_shape[0]});
    add(name, {input, w, b}, [=] { return conv2d(input, w, b, spec); });
  };
  convolution("conv2d 3x3", {64, 32, 26, 26}, {64, 32, 3, 3}, {});
  convolution("conv2d 5x5", {64, 6, 14, 14}, {16, 6, 5, 5}, {});
  convolution("conv2d 1x1", {16, 256, 14, 14}, {64, 256, 1, 1}, {});
  convolution("conv2d 3x3 depthwise", {64, 64, 32, 32}, {64, 1, 3, 3}, {.padding = {1, 1, 1, 1}, .groups = 64});
  convolution("conv2d 7x7 / 2", {8, 3, 224, 224}, {64, 3, 7, 7}, {.stride = {2, 2}, .padding = {3, 3, 3, 3}});
  const Var wide = normal({64, 32, 4, 4}), wide_bias = normal({32}), small = image({64, 64, 16, 16});
  add("conv_transpose2d", {small, wide, wide_bias}, [=] {
    return conv_transpose2d(small, wide, wide_bias, {.stride = {2, 2}, .padding = {1, 1, 1, 1}});
  });
  add("max_pool2d", {images}, [=] { return max_pool2d(images, {.kernel = {2, 2}, .stride = {2, 2}}); });
  add("avg_pool2d", {images}, [=] { return avg_pool2d(images, {.kernel = {2, 2}, .stride = {2, 2}}); });
  add("upsample_nearest2d", {images}, [=] { return upsample_nearest2d(images, 2); });
  auto draws = std::make_shared<Generator>(4);
  add("dropout", {x}, [=] { return dropout(x, 0.5, draws->fork()); });
  return list;
}

/// Microseconds of a call: the mean of as many as take 10 ms, the fastest of three times.
double microseconds(const std::function<void()>& work) {
  work();
  const auto times = std::max<int64_t>(1, static_cast<int64_t>(0.01 / std::max(seconds_of(work), 1e-7)));
  double fastest = 1e30;
  for (int i = 0; i < 3; ++i)
    fastest = std::min(fastest, seconds_of([&] {
                         for (int64_t k = 0; k < times; ++k) work();
                       }));
  return 1e6 * fastest / static_cast<double>(times);
}

/// The fastest time of each operation, by name; with gradients under "name, with gradients".
using Times = std::map<std::string, double>;

void keep_fastest(Times& times, const std::string& name, double microseconds) {
  const auto [at, is_new] = times.emplace(name, microseconds);
  if (!is_new) at->second = std::min(at->second, microseconds);
}

std::string with_gradients(const std::string& name) { return name + ", with gradients"; }

void measure_into(Times& times, const Operation& operation) {
  Tensor seed;
  {
    const NoGrad forward_only;
    keep_fastest(times, operation.name, microseconds([&] { operation.run(); }));
    const Tensor y = operation.run().value();
    seed = Tensor::empty_like(y);
    fill_(seed, 1);
  }
  keep_fastest(times, with_gradients(operation.name), microseconds([&] {
                 for (const Var& leaf : operation.leaves) leaf.clear_grad();
                 operation.run().backward(seed, {});
               }));
}

Record ratios(const std::string& name, const Times& ours, const Times& theirs) {
  Record record = {{"operation", name}};
  for (const bool gradients : {false, true}) {
    const std::string key = gradients ? with_gradients(name) : name, prefix = gradients ? "with_gradients_" : "";
    record.add(prefix + "us", ours.at(key));
    if (const auto found = theirs.find(key); found != theirs.end()) {
      record.add("against_" + prefix + "us", found->second);
      record.add(prefix + "ratio", found->second / ours.at(key));
    }
  }
  return record;
}

std::string table_line(const Record& record, bool against) {
  std::ostringstream line;
  line << std::left << std::setw(24) << std::get<std::string>(record.fields()[0].second) << std::right << std::fixed;
  const auto number = [&](const std::string& name, int decimals) {
    line << std::setw(12);
    if (record.find(name))
      line << std::setprecision(decimals) << record.number(name);
    else
      line << "-";
  };
  for (const std::string prefix : {"", "with_gradients_"}) {
    number(prefix + "us", 1);
    if (against) number("against_" + prefix + "us", 1);
    if (against) number(prefix + "ratio", 2);
  }
  return line.str();
}

void note_unmatched(const std::vector<Operation>& chosen, const Times& theirs, const std::string& command) {
  std::vector<std::string> lacking;
  for (const Operation& operation : chosen)
    if (!theirs.contains(operation.name)) lacking.push_back(operation.name);
  if (!lacking.empty()) note(text("--against: '", command, "' has no time of: ", joined(lacking)));
}

void bench_ops(const OpsFlags& flags) {
  use_threads(flags.threads);
  std::vector<Operation> chosen = operations();
  std::erase_if(chosen, [&](const Operation& o) { return o.name.find(flags.only) == std::string::npos; });
  if (chosen.empty()) throw UsageError("no operation's name contains --only '" + flags.only + "'");
  Times ours, theirs;
  Progress progress;
  for (int64_t round = 0; round < flags.rounds; ++round) {
    for (const Operation& operation : chosen) measure_into(ours, operation);
    if (!flags.against.empty())
      for (const auto& [name, value] : numbers_of(flags.against)) keep_fastest(theirs, name, value);
    show_round(progress, round + 1, flags.rounds, static_cast<double>(round + 1) / static_cast<double>(flags.rounds));
  }
  progress.clear();
  if (!flags.against.empty()) note_unmatched(chosen, theirs, flags.against);
  if (!flags.json)
    print_line(flags.against.empty() ? "operation                   forward, with gradients: microseconds"
                                     : "operation                   forward       other       ratio   gradients       "
                                       "other       ratio   (microseconds)");
  for (const Operation& operation : chosen) {
    const Record record = ratios(operation.name, ours, theirs);
    print_line(flags.json ? record.json() : table_line(record, !flags.against.empty()));
  }
}

}  // namespace

std::function<void()> add_ops(CommandLine& line) {
  auto flags = std::make_shared<OpsFlags>();
  line.add("--only", flags->only, "operations whose names contain this text");
  flags->add_to(line);
  return [flags] { bench_ops(*flags); };
}

}  // namespace gradus::apps::bench
