// Downloads that can be stopped and resumed, through libcurl (-Ddownload); built without it, the call throws an error
// that says how to go on.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace gradus {

struct DownloadProgress {
  int64_t received = 0;  ///< bytes of the file that are here, with those of an earlier attempt
  int64_t total = 0;     ///< 0 where the server did not say
};

struct DownloadRequest {
  std::vector<std::string> urls;  ///< http or https; each is tried in turn
  std::string path;               ///< where the file goes; its folder is made
  int64_t size = 0;               ///< expected bytes; 0: any
  std::string md5;                ///< expected digest; empty: any, and an earlier attempt is not resumed
  /// Called a few times a second on the calling thread; false stops the download, to be resumed by the next.
  std::function<bool(const DownloadProgress&)> progress = {};
};

/// Leaves the file at `path` complete and checked, or throws ErrorKind::io: no network, no server that has it, a wrong
/// size or digest, a disk that is full. Bytes go to PATH.part, which a later call resumes; then it is renamed. A file
/// that is there already is checked and otherwise left alone. Two processes cannot load the same file at once.
void download_file(const DownloadRequest& request);

}  // namespace gradus
