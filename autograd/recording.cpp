#include "autograd/recording.h"

#include <utility>

#include "autograd/variable.h"

namespace gradus {
namespace {

thread_local bool recording_flag = true;

}  // namespace

bool recording() { return recording_flag; }

RecordingScope::RecordingScope(bool on) : before_(std::exchange(recording_flag, on)) {}
RecordingScope::~RecordingScope() { recording_flag = before_; }

NoGrad::NoGrad() : before_(std::exchange(recording_flag, false)) {}
NoGrad::~NoGrad() { recording_flag = before_; }

}  // namespace gradus
