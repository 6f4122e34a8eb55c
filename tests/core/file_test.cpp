// Whole files: reading with clear errors, and writing that replaces everything or nothing.
#include "core/file.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>
#include <vector>

#include "tests/data/temporary_folder.h"

using namespace gradus;
namespace fs = std::filesystem;

TEST_CASE("what is written is read back, zeros and line ends included") {
  const TemporaryFolder folder;
  const std::string path = folder / "x", bytes("a\0b\r\n\xff", 6);
  write_file_atomically(path, bytes);
  CHECK(read_file(path) == bytes);
  write_file_atomically(path, "");
  CHECK(read_file(path).empty());
}

TEST_CASE("an appended record is in the file at once, and another file of the name is not touched") {
  const TemporaryFolder folder;
  FileAppender file(folder / "x");
  file.append("one");
  CHECK(read_file(folder / "x") == "one");
  file.append("two");
  CHECK(read_file(folder / "x") == "onetwo");
  CHECK(contains(error_of([&] { FileAppender(folder / "x"); }), "cannot create " + folder / "x" + ": File exists"));
  CHECK(read_file(folder / "x") == "onetwo");
}

TEST_CASE("what an appender could not write, for want of space, the next call writes first") {
  const TemporaryFolder folder;
  rlimit before = {};
  getrlimit(RLIMIT_FSIZE, &before);
  void (*const handler)(int) = signal(SIGXFSZ, SIG_IGN);
  FileAppender file(folder / "x");
  const rlimit full = {5, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &full);
  file.append("one");
  CHECK(contains(error_of([&] { file.append("two"); }), "cannot write " + folder / "x"));
  CHECK(contains(error_of([&] { file.append("three"); }), "cannot write " + folder / "x"));
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, handler);
  file.append("four");
  CHECK(read_file(folder / "x") == "onetwothreefour");
}

TEST_CASE("a write that throws half-way leaves the old content and no temporary file") {
  const TemporaryFolder folder;
  const std::string path = folder / "x";
  write_file_atomically(path, "old");
  CHECK_THROWS_AS(write_file_atomically(path,
                                        [](FileWriter& file) {
                                          file.write("new");
                                          throw std::runtime_error("stop");
                                        }),
                  std::runtime_error);
  CHECK(read_file(path) == "old");
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);
}

TEST_CASE("a temporary file that a killed writer left is overwritten") {
  const TemporaryFolder folder;
  const std::string path = folder / "x";
  std::ofstream(path + ".tmp") << "a long rest of an interrupted write";
  write_file_atomically(path, "short");
  CHECK(read_file(path) == "short");
  CHECK_FALSE(fs::exists(path + ".tmp"));
}

TEST_CASE("writers of one path take turns, and readers meanwhile see whole files only") {
  const TemporaryFolder folder;
  const std::string path = folder / "x";
  constexpr size_t size = 100'000;
  write_file_atomically(path, std::string(size, 'a'));
  std::vector<std::thread> writers;
  for (char c : {'b', 'c', 'd'})
    writers.emplace_back([&path, c] {
      for (int i = 0; i < 20; ++i)
        write_file_atomically(path, [c](FileWriter& file) {
          for (size_t part = 0; part < 10; ++part) file.write(std::string(size / 10, c));
        });
    });
  bool whole = true;
  for (int i = 0; i < 100; ++i) {
    const std::string bytes = read_file(path);
    whole = whole && bytes == std::string(size, bytes.empty() ? 'x' : bytes[0]);
  }
  for (std::thread& writer : writers) writer.join();
  CHECK(whole);
  CHECK(read_file(path) == std::string(size, read_file(path)[0]));
}

TEST_CASE("a file that cannot be read is named with the reason") {
  const TemporaryFolder folder;
  const std::string missing = folder / "missing";
  CHECK(error_of([&] { read_file(missing); }) == "[file] cannot open " + missing + ": No such file or directory");
  CHECK(contains(error_of([&] { read_file(folder.path()); }), "it is a folder"));
}

TEST_CASE("a pipe that nobody writes to is refused, not waited for") {
  const TemporaryFolder folder;
  const std::string pipe = folder / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(error_of([&] { read_file(pipe); }) == "[file] cannot read " + pipe + ": it is not a regular file");
}

TEST_CASE("reading past the end names the file and what is missing") {
  const TemporaryFolder folder;
  const std::string path = folder / "x";
  write_file_atomically(path, "abc");
  FileReader file(path);
  CHECK(file.size() == 3);
  char bytes[8];
  CHECK(contains(error_of([&] { file.read(bytes, 8); }), path + " ends 5 bytes too early"));
  CHECK(contains(error_of([&] { file.read(SIZE_MAX); }), "no memory for"));
}

TEST_CASE("what cannot be written is named with the reason, and devices are not replaced") {
  const TemporaryFolder folder;
  CHECK(contains(error_of([&] { write_file_atomically(folder / "no/x", "a"); }), "No such file or directory"));
  CHECK(contains(error_of([&] { write_file_atomically(folder.path(), "a"); }), "it is a folder"));
  const std::string pipe = folder / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(contains(error_of([&] { write_file_atomically(pipe, "a"); }), "not a regular file"));
}
