// Hyperparameters by name: what a rule starts from, a group overrides field by field, a schedule multiplies, a log
// prints and a checkpoint keeps.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gradus::optim {

/// An ordered table of few named numbers.
class Settings {
 public:
  using Entry = std::pair<std::string, double>;

  Settings() = default;
  Settings(std::initializer_list<Entry> entries) : entries_(entries) {}

  bool contains(std::string_view name) const { return find(name) != nullptr; }
  /// Throws ErrorKind::value, listing the names that there are.
  double at(std::string_view name) const;
  double get(std::string_view name, double otherwise) const;
  /// Replaces or appends.
  void set(std::string_view name, double value);

  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }
  auto begin() { return entries_.begin(); }
  auto end() { return entries_.end(); }
  size_t size() const { return entries_.size(); }

 private:
  const Entry* find(std::string_view name) const;

  std::vector<Entry> entries_;
};

/// Throws for a value that is not finite, or out of the range that the name (after "hyper.") stands for in every rule:
/// lr, lr_decay, weight_decay, l1 and eps are at least 0; momentum, beta1, beta2 and alpha are in [0, 1).
void check_setting(std::string_view name, double value);

}  // namespace gradus::optim
