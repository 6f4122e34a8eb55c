// The campaign behind --resume: many kills, and disks that are full or read-only.
#include <doctest/doctest.h>
#include <sys/mount.h>

#include <cstring>

#include "tests/apps/resumed_run.h"
#include "tests/apps/tiny_images.h"

namespace gradus::resume_long_test {
namespace {

using Words = std::vector<std::string>;

const char* const program = "apps/cifar10_train";

Words tiny_run(const TinyImages& images, const std::string& out, const Words& more) {
  Words words = {"--data", images.data(), "--batch", "10", "--threads", "2", "--out", out, "--augment", "standard"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

/// 20 kills of a program whose runs are long enough for them, compared with a run that nothing stopped.
void kill_and_compare(const char* trainer, const Words& more) {
  const TinyImages images;
  for (const char* workers : {"0", "1", "3"}) {
    CAPTURE(workers);
    Words flags = {"--workers", workers, "--ema", "0.99", "--checkpoint-every", "2"};
    flags.insert(flags.end(), more.begin(), more.end());
    const std::string whole = images / (std::string("whole-") + workers);
    const std::string parts = images / (std::string("parts-") + workers);
    REQUIRE(run_program(trainer, tiny_run(images, whole, flags)).exit_code == 0);
    train_with_stops(trainer, tiny_run(images, parts, flags), parts, SIGKILL, 20, 11);
    CHECK(differences(whole, parts) == "");
  }
}

TEST_CASE("killed at 20 random moments, a run ends with the bytes of an uninterrupted one, for 0, 1 and 3 workers") {
  kill_and_compare(program, {"--epochs", "120"});
}

TEST_CASE("killed at 20 random moments, a training on photographs does so too") {
  kill_and_compare("apps/imagenet_train", {"--epochs", "60", "--image-size", "16", "--stem", "cifar", "--lr", "0.01"});
}

/// A small file system of its own; not there where mounting is not permitted.
class SmallDisk {
 public:
  explicit SmallDisk(const char* size) {
    const std::string options = std::string("size=") + size;
    mounted_ = mount("gradus-test", folder_.path().c_str(), "tmpfs", 0, options.c_str()) == 0;
    if (!mounted_) MESSAGE("skipped: mounting a tmpfs is not permitted here: ", std::strerror(errno));
  }
  ~SmallDisk() {
    if (mounted_) umount2(folder_.path().c_str(), MNT_DETACH);
  }
  explicit operator bool() const { return mounted_; }
  std::string operator/(std::string_view name) const { return folder_ / name; }
  /// False while a file is open for writing.
  bool make_read_only() const {
    return mount(nullptr, folder_.path().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0;
  }

 private:
  TemporaryFolder folder_;
  bool mounted_ = false;
};

TEST_CASE("on a full disk a run goes on to its end, which fails; the checkpoint before stays and is resumed") {
  const SmallDisk disk("26m");  // room for one checkpoint, not for two
  if (!disk) return;
  const TinyImages images;
  const Program::Result result = run_program(program, tiny_run(images, disk / "run", {"--epochs", "3"}));
  CHECK(result.exit_code == 1);
  CHECK(contains(result.err, "no checkpoint after step 6, the training goes on: "));
  CHECK(contains(lines_of(result.err).back(), "[training] not all could be saved: "));
  CHECK(contains(result.err, "No space left on device"));
  CHECK(!std::filesystem::exists(disk / "run/checkpoint-6.safetensors.tmp"));

  REQUIRE(run_program(program, tiny_run(images, images / "whole", {"--epochs", "3"})).exit_code == 0);
  std::filesystem::copy(disk / "run", images / "run");
  REQUIRE(run_program(program, {"--resume", images / "run"}).exit_code == 0);
  CHECK(differences(images / "whole", images / "run") == "");
}

TEST_CASE("in a folder that becomes unwritable a run goes on, says what is not saved, and leaves the checkpoint") {
  const SmallDisk disk("200m");
  if (!disk) return;
  const TinyImages images;
  Program running(program, tiny_run(images, disk / "run", {"--epochs", "100000", "--json"}));
  REQUIRE(!running.next_line().empty());
  REQUIRE(!running.next_line().empty());
  while (!disk.make_read_only()) REQUIRE(errno == EBUSY);
  for (int i = 0; i < 100; ++i) REQUIRE(!running.next_line().empty());
  running.signal(SIGINT);
  const Program::Result result = running.finish();
  CHECK(result.exit_code == 130);
  for (const char* lack : {"no checkpoint", "metrics are not saved", "times are not saved"})
    CHECK(contains(result.err, lack + std::string(" after step ")));
  CHECK(contains(result.err, "not all could be saved: "));
  CHECK(contains(result.err, "Read-only file system"));
  bool checkpoint = false;
  for (const auto& [name, content] : results_of(disk / "run")) checkpoint |= contains(name, "checkpoint-");
  CHECK(checkpoint);
}

}  // namespace
}  // namespace gradus::resume_long_test
