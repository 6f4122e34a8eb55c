// The switch that decides whether operations of this thread record nodes. Not public: others have NoGrad.
#pragma once

namespace gradus {

/// While one lives, this thread records, or does not.
class RecordingScope {
 public:
  explicit RecordingScope(bool on);
  ~RecordingScope();
  RecordingScope(const RecordingScope&) = delete;
  RecordingScope& operator=(const RecordingScope&) = delete;

 private:
  bool before_;
};

}  // namespace gradus
