// Summaries: one observed forward pass, and its table.
#include "layers/summary.h"

#include <algorithm>
#include <map>
#include <ostream>
#include <set>

#include "core/check_defined.h"
#include "core/error.h"

namespace gradus {
namespace {

/// 1369738 as 1,369,738.
std::string grouped(int64_t number) {
  std::string digits = std::to_string(number);
  for (int64_t i = static_cast<int64_t>(digits.size()) - 3; i > 0; i -= 3)
    digits.insert(static_cast<size_t>(i), 1, ',');
  return digits;
}

int64_t own_parameters(const Module& module) {
  int64_t count = module.parameter_count();
  for (const auto& [name, child] : module.children()) count -= child->parameter_count();
  return count;
}

}  // namespace

Summary summary(Module& model, const Shape& input) { return summary(model, Tensor::zeros(input)); }

Summary summary(Module& model, const Tensor& input) {
  check::defined("summary", input);
  std::map<const Module*, std::string> names;
  model.visit([&](const std::string& name, Module& module) { names[&module] = name; });

  Summary result;
  result.input = input.shape();
  result.parameters = model.parameter_count();
  std::set<const Module*> seen;
  const CallObserver observer([&](const Module& module, const Var& x, const Var& y) {
    const int64_t parameters = own_parameters(module), macs = module.macs(x.shape(), y.shape());
    result.macs += macs;
    if (!module.children().empty() && parameters == 0) return;
    const auto found = names.find(&module);
    result.layers.push_back({found == names.end() ? "" : found->second, module.describe(), y.shape(),
                             seen.insert(&module).second ? parameters : 0, macs});
  });
  const EvalScope evaluation(model);
  const NoGrad constants;
  model(input);
  return result;
}

std::string to_string(const Summary& summary) {
  std::vector<std::vector<std::string>> rows = {{"name", "layer", "output", "parameters", "MACs"}};
  for (const LayerSummary& l : summary.layers)
    rows.push_back({l.name, l.layer, text(l.output), grouped(l.parameters), grouped(l.macs)});
  rows.push_back({"total", text("input ", summary.input), "", grouped(summary.parameters), grouped(summary.macs)});
  constexpr size_t columns = 5, first_number = 3;
  size_t widths[columns] = {};
  for (const auto& row : rows)
    for (size_t c = 0; c < columns; ++c) widths[c] = std::max(widths[c], row[c].size());
  std::string out;
  for (const auto& row : rows) {
    for (size_t c = 0; c < columns; ++c) {
      const std::string space(widths[c] - row[c].size(), ' ');
      out += (c == 0 ? "" : "  ") + (c < first_number ? row[c] + space : space + row[c]);
    }
    out += '\n';
  }
  return out;
}

std::ostream& operator<<(std::ostream& out, const Summary& summary) { return out << to_string(summary); }

}  // namespace gradus
