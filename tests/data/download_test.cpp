#include "data/download.h"

#include <doctest/doctest.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fcntl.h>
#include <spawn.h>

#include <cerrno>
#include <functional>
#include <memory>

#include "core/file.h"
#include "data/locate.h"
#include "data/md5.h"
#include "tests/data/temporary_folder.h"

using namespace gradus;

namespace {

/// What flock() does instead, while it is set; -1 with errno where it fails.
std::function<int(int descriptor)> flock_instead;

}  // namespace

/// The library calls this one.
extern "C" int flock(int descriptor, int operation) noexcept {
  if (flock_instead) return flock_instead(descriptor);
  return static_cast<int>(syscall(SYS_flock, descriptor, operation));
}

namespace {

/// tests/data/server.py on a free port of the loopback interface; it ends with this object.
class Server {
 public:
  explicit Server(const TemporaryFolder& folder) : folder_(folder) {
    const char* root = getenv("GRADUS_SOURCE_ROOT");
    std::string program = std::string(root ? root : ".") + "/tests/data/server.py", served = folder.path().string();
    int input[2], output[2];
    REQUIRE(pipe2(input, O_CLOEXEC) == 0);
    REQUIRE(pipe2(output, O_CLOEXEC) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input[0], 0);
    posix_spawn_file_actions_adddup2(&actions, output[1], 1);
    std::string python = "python3";
    char* arguments[] = {python.data(), program.data(), served.data(), nullptr};
    if (posix_spawnp(&process_, "python3", &actions, nullptr, arguments, environ) != 0) process_ = 0;
    posix_spawn_file_actions_destroy(&actions);
    close(input[0]);
    close(output[1]);
    input_ = input[1];
    std::string line;  // which may come in pieces
    for (char c; process_ != 0 && read(output[0], &c, 1) == 1 && c != '\n';) line += c;
    if (!line.empty()) port_ = std::stoi(line);
    close(output[0]);
  }
  ~Server() {
    close(input_);
    if (process_ != 0) waitpid(process_, nullptr, 0);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  bool runs() const { return port_ != 0; }
  std::string url(const std::string& path) const { return text("http://127.0.0.1:", port_, "/", path); }
  std::string requests() const { return read_file(folder_ / "requests"); }

 private:
  const TemporaryFolder& folder_;
  pid_t process_ = 0;
  int input_ = -1, port_ = 0;
};

/// A served file and where it is to go.
struct Setting {
  TemporaryFolder served, target;
  std::string content;
  std::unique_ptr<Server> server;
  DownloadRequest request;

  Setting() {
    for (uint32_t i = 0; i < 300000; ++i) content += static_cast<char>(i * i >> 7);
    served.write("file", content);
    server = std::make_unique<Server>(served);
    request = {.urls = {server->url("good/file")},
               .path = target / "new/folder/file",
               .size = static_cast<int64_t>(content.size()),
               .md5 = md5_hex(as_bytes(content))};
  }
  /// Whether there is a server, and libcurl in this build.
  bool works() const {
    if (!server->runs()) {
      MESSAGE("skipped: this machine has no python3");
      return false;
    }
    const std::string error = error_of([&] { download_file({.urls = {}, .path = target / "x", .md5 = {}}); });
    if (!contains(error, "-Ddownload=enabled")) return true;
    MESSAGE("skipped: built without libcurl");
    return false;
  }
  std::string result() const { return read_file(request.path); }
  void leave_part(const std::string& bytes) const { target.write("new/folder/file.part", bytes); }
};

}  // namespace

TEST_CASE("a download makes its folder, reports progress, and leaves the whole file and nothing else") {
  Setting s;
  if (!s.works()) return;
  DownloadProgress last;
  s.request.progress = [&](const DownloadProgress& progress) {
    CHECK(progress.received >= last.received);
    last = progress;
    return true;
  };
  download_file(s.request);
  CHECK(s.result() == s.content);
  CHECK(last.received == 300000);
  CHECK(last.total == 300000);
  CHECK(!std::filesystem::exists(s.request.path + ".part"));
}

TEST_CASE("a redirection is followed") {
  Setting s;
  if (!s.works()) return;
  s.request.urls = {s.server->url("moved/file")};
  download_file(s.request);
  CHECK(s.result() == s.content);
}

TEST_CASE("a download that was stopped goes on where it was") {
  Setting s;
  if (!s.works()) return;
  s.leave_part(s.content.substr(0, 100000));
  download_file(s.request);
  CHECK(s.result() == s.content);
  CHECK(s.server->requests() == "/good/file bytes=100000-\n");
}

TEST_CASE("a server that cannot resume sends all of it") {
  Setting s;
  if (!s.works()) return;
  s.request.urls = {s.server->url("plain/file")};
  s.leave_part(s.content.substr(0, 100000));
  download_file(s.request);
  CHECK(s.result() == s.content);
}

TEST_CASE("a part that is whole, too long, or of another file, does no harm") {
  for (int kind = 0; kind < 4; ++kind) {
    Setting s;
    if (!s.works()) return;
    if (kind == 3) s.request.size = 0;  // then the server says that there is no more
    s.leave_part(kind == 0 || kind == 3 ? s.content : kind == 1 ? s.content + "x" : std::string(100000, 'x'));
    download_file(s.request);
    CHECK(s.result() == s.content);
  }
}

TEST_CASE("the next server goes on where one broke off") {
  Setting s;
  if (!s.works()) return;
  s.request.urls = {s.server->url("cut/file"), s.server->url("good/file")};
  download_file(s.request);
  CHECK(s.result() == s.content);
  CHECK(s.server->requests() == "/cut/file all\n/good/file bytes=150000-\n");
}

TEST_CASE("the next server is asked where one has no such file, is not there, or sends wrong bytes") {
  Setting s;
  if (!s.works()) return;
  s.request.urls = {s.server->url("good/missing"), "http://127.0.0.1:1/file", s.server->url("wrong/file"),
                    s.server->url("good/file")};
  download_file(s.request);
  CHECK(s.result() == s.content);
}

TEST_CASE("where no server helps the error names each with its reason, and nothing takes the file's place") {
  Setting s;
  if (!s.works()) return;
  s.request.urls = {s.server->url("good/missing"), s.server->url("wrong/file")};
  const std::string error = error_of([&] { download_file(s.request); });
  CHECK(contains(error, "good/missing: The requested URL returned error: 404"));
  CHECK(contains(error, "wrong/file: its md5 is "));
  CHECK(contains(error, s.request.md5 + " was expected"));
  CHECK(!std::filesystem::exists(s.request.path));
}

TEST_CASE("a file of the wrong size is refused") {
  Setting s;
  if (!s.works()) return;
  s.request.size = 400000;
  CHECK(contains(error_of([&] { download_file(s.request); }), "it has 300000 bytes where 400000 were expected"));
}

TEST_CASE("a server that sends more than was expected is stopped there") {
  Setting s;
  if (!s.works()) return;
  s.request.urls = {s.server->url("long/file")};
  int64_t most = 0;
  s.request.progress = [&](const DownloadProgress&) {
    std::error_code ignored;
    most = std::max(most, static_cast<int64_t>(std::filesystem::file_size(s.request.path + ".part", ignored)));
    return true;
  };
  CHECK(contains(error_of([&] { download_file(s.request); }), "long/file: it sends more than the 300000 bytes"));
  CHECK(most <= 300000);
  CHECK(!std::filesystem::exists(s.request.path + ".part"));
  s.request.urls.push_back(s.server->url("good/file"));
  download_file(s.request);
  CHECK(s.result() == s.content);
}

TEST_CASE("a file can be loaded to the current folder") {
  Setting s;
  if (!s.works()) return;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(s.target.path());
  s.request.path = "file";
  CHECK_NOTHROW(download_file(s.request));
  CHECK(s.result() == s.content);
  std::filesystem::current_path(before);
}

TEST_CASE("a folder in the file's place is an error that names it") {
  Setting s;
  if (!s.works()) return;
  s.request.path = s.target.path().string();
  CHECK(
      contains(error_of([&] { download_file(s.request); }), s.request.path + " is there already, but it is a folder"));
}

TEST_CASE("a download that the caller stops says where its bytes are, and can be resumed") {
  Setting s;
  if (!s.works()) return;
  s.request.progress = [](const DownloadProgress& progress) { return progress.received == 0; };
  CHECK(contains(error_of([&] { download_file(s.request); }), "bytes are kept in " + s.request.path + ".part"));
  s.request.progress = nullptr;
  download_file(s.request);
  CHECK(s.result() == s.content);
}

TEST_CASE("an exception of the progress function reaches the caller") {
  Setting s;
  if (!s.works()) return;
  s.request.progress = [](const DownloadProgress&) -> bool { throw std::runtime_error("mine"); };
  CHECK_THROWS_WITH(download_file(s.request), "mine");
}

TEST_CASE("a file that is there is checked, kept if it is right, and never replaced") {
  Setting s;
  if (!s.works()) return;
  s.target.write("new/folder/file", s.content);
  download_file(s.request);
  CHECK(!std::filesystem::exists(s.served / "requests"));
  s.target.write("new/folder/file", "mine");
  CHECK(contains(error_of([&] { download_file(s.request); }), "is there already, but it has 4 bytes"));
  CHECK(s.result() == "mine");
}

TEST_CASE("two processes do not load the same file at once") {
  Setting s;
  if (!s.works()) return;
  s.leave_part("");
  const int other = open((s.request.path + ".part").c_str(), O_RDWR);
  REQUIRE(flock(other, LOCK_EX) == 0);
  CHECK(contains(error_of([&] { download_file(s.request); }), "another process downloads the same file"));
  close(other);
}

TEST_CASE("a file system without locks keeps nothing from being loaded") {
  Setting s;
  if (!s.works()) return;
  flock_instead = [](int) { return errno = ENOLCK, -1; };
  CHECK_NOTHROW(download_file(s.request));
  flock_instead = nullptr;
  CHECK(s.result() == s.content);
}

TEST_CASE("a file that another process finishes just before it gives its lock back stays as it is") {
  Setting s;
  if (!s.works()) return;
  s.leave_part("a part of something else");
  int calls = 0;
  flock_instead = [&](int) {
    if (++calls > 1) return 0;
    s.target.write("new/folder/file.part", s.content);
    std::filesystem::rename(s.request.path + ".part", s.request.path);
    return 0;
  };
  download_file(s.request);
  flock_instead = nullptr;
  CHECK(calls == 2);  // the first locked a file that is no part any more
  CHECK(s.result() == s.content);
  CHECK(!std::filesystem::exists(s.request.path + ".part"));
  CHECK(!std::filesystem::exists(s.served / "requests"));
}

TEST_CASE("only a part that the next call can go on from is kept and spoken of") {
  Setting s;
  if (!s.works()) return;
  s.request.urls = {s.server->url("cut/file")};
  CHECK(contains(error_of([&] { download_file(s.request); }), "try again: 150000 bytes are kept in "));
  s.request.md5.clear();
  const std::string nothing_known = error_of([&] { download_file(s.request); });
  CHECK(nothing_known.ends_with("check the network and try again"));
  CHECK(!std::filesystem::exists(s.request.path + ".part"));
  s.request.md5 = md5_hex(as_bytes(s.content));
  s.request.urls = {s.server->url("good/missing")};
  CHECK(error_of([&] { download_file(s.request); }).ends_with("check the network and try again"));
  CHECK(!std::filesystem::exists(s.request.path + ".part"));
}

TEST_CASE("data set 'auto' says what it looked for, why the download failed, and how to go on") {
  Setting s;
  if (!s.works()) return;
  const ScopedVariable cache("GRADUS_CACHE", s.target / "cache"), data("GRADUS_DATA", s.target / "nothing");
  const std::string error = error_of([&] { open_dataset("auto", {.urls = {"http://127.0.0.1:1/c.tar.gz"}}); });
  CHECK(contains(error, "CIFAR-10 is neither in $GRADUS_DATA (" + (s.target / "nothing") + ") nor in "));
  CHECK(contains(error, "http://127.0.0.1:1/c.tar.gz: "));
  CHECK(contains(error, "--data PATH"));
  CHECK(contains(error, "--data synthetic"));
}
