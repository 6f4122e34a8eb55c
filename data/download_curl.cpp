// data/download.h through libcurl.
#include <curl/curl.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <filesystem>
#include <memory>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "data/download.h"
#include "data/md5.h"

namespace gradus {
namespace {

/// PATH.part, open for appending, and locked against other processes.
class PartFile {
 public:
  explicit PartFile(const std::string& path) : path_(path + ".part") {
    descriptor_ = open_locked(path_, O_RDWR | O_APPEND, false);
    if (descriptor_ < 0)
      fail(ErrorKind::io, "download", path_, " is in use: another process downloads the same file; wait for it");
  }
  ~PartFile() { close(descriptor_); }
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;

  const std::string& path() const { return path_; }
  int64_t size() const {
    struct stat status;
    if (fstat(descriptor_, &status) != 0) fail_on("read");
    return status.st_size;
  }
  void clear() {
    if (ftruncate(descriptor_, 0) != 0) fail_on("emptied");
  }
  void remove() { unlink(path_.c_str()); }
  void append(const char* bytes, size_t count) {
    while (count > 0) {
      const ssize_t written = write(descriptor_, bytes, count);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail_on("written");
      bytes += written;
      count -= static_cast<size_t>(written);
    }
  }
  void become(const std::string& path) {
    if (fsync(descriptor_) != 0 || rename(path_.c_str(), path.c_str()) != 0) fail_on("finished");
  }

 private:
  [[noreturn]] void fail_on(const char* what) const {
    fail(ErrorKind::io, "download", path_, " cannot be ", what, " (", std::strerror(errno),
         "): check the folder's permissions and the free space");
  }
  std::string path_;
  int descriptor_;
};

/// What libcurl's callbacks see. Exceptions must not pass through C code: they wait here.
struct Transfer {
  PartFile& part;
  const DownloadRequest& request;
  int64_t resumed_from;
  bool too_long = false;
  std::exception_ptr error = nullptr;
};

/// What there is of a file that was not loaded: it is kept where the next call can go on from it.
std::string kept(PartFile& part, const DownloadRequest& request) {
  if (!request.md5.empty() && part.size() > 0)
    return text(": ", part.size(), " bytes are kept in ", part.path(), ", and the next call goes on from there");
  part.remove();
  return "";
}

size_t on_data(char* bytes, size_t, size_t count, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  try {
    const int64_t size = transfer.request.size;
    transfer.too_long = size > 0 && std::cmp_greater(count, size - transfer.part.size());
    if (transfer.too_long) return 0;
    transfer.part.append(bytes, count);
    return count;
  } catch (...) {
    transfer.error = std::current_exception();
    return 0;
  }
}

int on_progress(void* context, curl_off_t total, curl_off_t received, curl_off_t, curl_off_t) {
  auto& transfer = *static_cast<Transfer*>(context);
  try {
    if (!transfer.request.progress) return 0;
    const DownloadProgress progress{.received = transfer.resumed_from + received,
                                    .total = total > 0 ? transfer.resumed_from + total : transfer.request.size};
    return transfer.request.progress(progress) ? 0 : 1;
  } catch (...) {
    transfer.error = std::current_exception();
    return 1;
  }
}

struct FreeCurl {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};

struct Outcome {
  CURLcode code;
  std::string reason;
};

/// Appends the rest of the file at `url` to the part.
Outcome transfer_rest(const std::string& url, const DownloadRequest& request, PartFile& part) {
  static const CURLcode initialized = curl_global_init(CURL_GLOBAL_DEFAULT);
  const std::unique_ptr<CURL, FreeCurl> curl(curl_easy_init());
  if (initialized != CURLE_OK || !curl) fail(ErrorKind::io, "download", "libcurl cannot be initialized");
  Transfer transfer{.part = part, .request = request, .resumed_from = part.size()};
  char reason[CURL_ERROR_SIZE] = "";
  const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(curl.get(), option, value); };
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_ERRORBUFFER, static_cast<char*>(reason));
#if LIBCURL_VERSION_NUM >= 0x075500
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#endif
  set(CURLOPT_FOLLOWLOCATION, 1L);
  set(CURLOPT_MAXREDIRS, 10L);
  set(CURLOPT_FAILONERROR, 1L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_CONNECTTIMEOUT, 15L);
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);  // bytes per second, for
  set(CURLOPT_LOW_SPEED_TIME, 30L);  // seconds
  set(CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(transfer.resumed_from));
  set(CURLOPT_WRITEFUNCTION, &on_data);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, &on_progress);
  set(CURLOPT_XFERINFODATA, static_cast<void*>(&transfer));
  const CURLcode code = curl_easy_perform(curl.get());
  if (transfer.error) std::rethrow_exception(transfer.error);
  if (transfer.too_long) {
    part.clear();
    return {.code = CURLE_WRITE_ERROR, .reason = text("it sends more than the ", request.size, " bytes expected")};
  }
  if (code == CURLE_ABORTED_BY_CALLBACK) fail(ErrorKind::io, "download", url, " was stopped", kept(part, request));
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  constexpr long range_not_satisfiable = 416;
  return {.code = status == range_not_satisfiable ? CURLE_RANGE_ERROR : code,
          .reason = *reason ? reason : curl_easy_strerror(code)};
}

/// Empty where the file is what was asked for; else what is wrong with it.
std::string defect(const std::string& path, int64_t size, const DownloadRequest& request) {
  if (request.size > 0 && size != request.size)
    return text("it has ", size, " bytes where ", request.size, " were expected");
  if (request.md5.empty()) return {};
  const std::string digest = md5_of_file(path);
  return digest == request.md5 ? std::string() : text("its md5 is ", digest, " where ", request.md5, " was expected");
}

/// Tries one server; empty on success, else why it failed.
std::string try_server(const std::string& url, const DownloadRequest& request, PartFile& part) {
  if (request.md5.empty()) part.clear();
  bool resumed = part.size() > 0;
  if (request.size > 0 && part.size() > request.size) part.clear();
  if (request.size == 0 || part.size() < request.size) {
    Outcome outcome = transfer_rest(url, request, part);
    if (outcome.code == CURLE_RANGE_ERROR && resumed) {  // the server cannot resume: from the start, then
      part.clear();
      resumed = false;
      outcome = transfer_rest(url, request, part);
    }
    if (outcome.code != CURLE_OK) return outcome.reason;
  }
  std::string wrong = defect(part.path(), part.size(), request);
  if (wrong.empty()) return {};
  part.clear();
  // What an earlier attempt left may be to blame: once more, all of it from this server.
  return resumed ? try_server(url, request, part) : wrong;
}

/// Whether the file is there already; throws where it is not what was asked for.
bool is_there(const DownloadRequest& request) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::file_status status = fs::status(request.path, error);
  if (!fs::exists(status)) return false;
  if (!fs::is_regular_file(status))
    fail(ErrorKind::io, "download", request.path, " is there already, but it is ",
         fs::is_directory(status) ? "a folder" : "not a regular file", ": name a file, or remove it");
  const auto size = static_cast<int64_t>(fs::file_size(request.path, error));
  if (const std::string wrong = defect(request.path, size, request); !wrong.empty())
    fail(ErrorKind::io, "download", request.path, " is there already, but ", wrong, ": remove it to load it again");
  return true;
}

}  // namespace

void download_file(const DownloadRequest& request) {
  namespace fs = std::filesystem;
  if (is_there(request)) return;
  std::error_code error;
  if (const fs::path folder = fs::path(request.path).parent_path(); !folder.empty())
    fs::create_directories(folder, error);
  if (error)
    fail(ErrorKind::io, "download", "cannot make the folder of ", request.path, " (", error.message(),
         "): check its permissions");
  PartFile part(request.path);
  if (is_there(request)) return part.remove();  // another process finished it just now
  std::string reasons;
  for (const std::string& url : request.urls) {
    const std::string reason = try_server(url, request, part);
    if (reason.empty()) return part.become(request.path);
    reasons += text(reasons.empty() ? "" : "; ", url, ": ", reason);
  }
  fail(ErrorKind::io, "download", request.path, " could not be loaded (", reasons, "): check the network and try again",
       kept(part, request));
}

}  // namespace gradus
