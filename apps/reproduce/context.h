// What an experiment knows while it runs: the command line, its images, and the trainings that are finished.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "apps/reproduce/data_sets.h"
#include "apps/reproduce/ledger.h"
#include "apps/reproduce/run.h"

namespace gradus::reproduce {

enum class Scale {
  smoke,  ///< seconds: shows that everything works
  cpu,    ///< under 45 minutes on two cores: fewer images, steps or seeds
  paper   ///< the paper's protocol
};
const char* name(Scale scale);

/// What the command line asked for.
struct Request {
  Scale scale = Scale::cpu;
  std::vector<std::string> data;
  int64_t seeds = 0;  ///< 0: as many as the scale says
  int64_t jobs = 1;
  double budget = 0;  ///< minutes; 0: no limit
  std::string out = "results";
  bool json = false;
};

class Context {
 public:
  Context(const Request& request, const Ledger& ledger) : request_(request), ledger_(ledger) {}

  const Request& request() const { return request_; }
  const Ledger& ledger() const { return ledger_; }
  Scale scale() const { return request_.scale; }
  /// One of three values, by scale.
  template <class T>
  T by_scale(T smoke, T cpu, T paper) const {
    return scale() == Scale::smoke ? smoke : scale() == Scale::cpu ? cpu : paper;
  }
  /// 0, 1, ...: as many as --seeds says, or the scale.
  std::vector<uint64_t> seeds(int64_t smoke, int64_t cpu, int64_t paper) const;

  /// Opened when first asked for. Throws where it cannot be had.
  const ImageData& images(Images images) const;
  /// Those that lie in memory.
  const DataSplits& data(Images images) const { return this->images(images).splits; }
  /// Its name and checksums.
  const apps::Record& data_record(Images images) const { return this->images(images).record; }
  apps::Record settings(const Run& run) const { return run.settings(data_record(run.images)); }
  std::string key(const Run& run) const { return key_of(settings(run)); }
  /// The result of a training; null where it is not finished. Valid as long as the context.
  const Outcome* find(const Run& run) const;
  /// The result of a training that is finished.
  const Outcome& at(const Run& run) const;

 private:
  const Request& request_;
  const Ledger& ledger_;
  mutable std::array<std::optional<ImageData>, 4> data_;
  mutable std::map<std::string, Outcome> found_;
};

}  // namespace gradus::reproduce
