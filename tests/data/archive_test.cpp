#include <doctest/doctest.h>

#include <cstdlib>
#include <map>

#include "data/file_source.h"
#include "tests/data/temporary_folder.h"

using namespace gradus;

namespace {

std::map<std::string, std::string> content(const FileSource& source) {
  std::map<std::string, std::string> files;
  source.visit([&](const std::string& name, const std::function<std::string()>& read) {
    files[name] = read();
    return true;
  });
  return files;
}

const std::map<std::string, std::string> expected = {
    {"a.txt", "alpha"}, {"b/c.txt", std::string(100000, 'c')}, {"b/d/empty", ""}};

void write_tree(const TemporaryFolder& folder) {
  for (const auto& [name, bytes] : expected) folder.write("tree/" + name, bytes);
  folder.write("tree/.hidden", "x");
  folder.write("tree/b/._c.txt", "x");
}

/// Runs a shell command in the folder; false, with a message, where that fails.
bool shell(const TemporaryFolder& folder, const std::string& command) {
  if (std::system(("cd '" + folder.path().string() + "' && " + command + " 2>/dev/null").c_str()) == 0) return true;
  MESSAGE("skipped: this machine cannot run: " << command);
  return false;
}

/// Whether this build reads archives; its error says how to get one that does.
bool archives_are_built() {
  const TemporaryFolder folder;
  const std::string error = error_of([&] { read_gzip(folder.write("x", "x"), 10); });
  if (!contains(error, "-Darchive=enabled")) return true;
  MESSAGE("skipped: built without libarchive");
  return false;
}

}  // namespace

TEST_CASE("a folder lists its files in sorted order without hidden ones, and stops when told") {
  const TemporaryFolder folder;
  write_tree(folder);
  const FileSource source(folder / "tree");
  CHECK(content(source) == expected);
  CHECK(source.full_name("b/c.txt") == folder / "tree/b/c.txt");
  int visited = 0;
  source.visit([&](const std::string&, const auto&) { return ++visited < 2; });
  CHECK(visited == 2);
}

TEST_CASE("a tar, a tar.gz and a zip give the same files as the folder") {
  if (!archives_are_built()) return;
  const TemporaryFolder folder;
  write_tree(folder);
  for (const auto& [name, command] : std::map<std::string, std::string>{
           {"t.tar", "tar cf t.tar -C tree ."},
           {"t.tar.gz", "tar czf t.tar.gz -C tree ."},
           {"t.zip", "python3 -c \"import shutil; shutil.make_archive('t', 'zip', 'tree')\""}}) {
    if (!shell(folder, command)) continue;
    const FileSource source(folder / name);
    CHECK(content(source) == expected);
    CHECK(source.full_name("a.txt") == (folder / name) + ":a.txt");
  }
}

TEST_CASE("an archive that was cut is an error that names it") {
  if (!archives_are_built()) return;
  const TemporaryFolder folder;
  folder.write("tree/random", [] {
    std::string bytes;
    for (uint32_t i = 1; bytes.size() < 50000; i = i * 1664525 + 1013904223) bytes += static_cast<char>(i >> 24);
    return bytes;
  }());
  if (!shell(folder, "tar cf t.tar -C tree . && tar czf t.tar.gz -C tree .")) return;
  for (const char* name : {"t.tar", "t.tar.gz"}) {
    std::filesystem::resize_file(folder / name, 20000);
    const std::string error = error_of([&] { content(FileSource(folder / name)); });
    CHECK(contains(error, folder / name));
    CHECK(contains(error, "cannot be read"));
  }
}

TEST_CASE("a file that is no archive is an error that names it") {
  if (!archives_are_built()) return;
  const TemporaryFolder folder;
  const std::string path = folder.write("notes.txt", "just text");
  const std::string error = error_of([&] { content(FileSource(path)); });
  CHECK(contains(error, path));
  CHECK(contains(error, "is it a whole .tar, .tar.gz or .zip?"));
}

TEST_CASE("a hard link in an archive is an error, not an empty file") {
  if (!archives_are_built()) return;
  const TemporaryFolder folder;
  folder.write("tree/one", "1");
  if (!shell(folder, "ln tree/one tree/two && tar cf t.tar -C tree .")) return;
  CHECK(contains(error_of([&] { content(FileSource(folder / "t.tar")); }), "is a hard link"));
}

TEST_CASE("a path where nothing is, is an error that names it") {
  CHECK(contains(error_of([] { FileSource("/no/such/folder"); }), "/no/such/folder does not exist"));
}

TEST_CASE("a .gz is read whole, or refused: cut, plain, or larger than expected") {
  if (!archives_are_built()) return;
  const TemporaryFolder folder;
  const std::string bytes(200000, 'z');
  const std::string path = folder.write("f", bytes);
  CHECK(contains(error_of([&] { read_gzip(path, 1 << 20); }), "is not gzip-compressed"));
  if (!shell(folder, "gzip f")) return;
  const std::string zipped = path + ".gz";
  CHECK(read_gzip(zipped, 1 << 20) == bytes);
  CHECK(contains(error_of([&] { read_gzip(zipped, 1000); }), "more than the 1000 bytes"));
  std::filesystem::resize_file(zipped, std::filesystem::file_size(zipped) / 2);
  const std::string error = error_of([&] { read_gzip(zipped, 1 << 20); });
  CHECK(contains(error, zipped));
  CHECK(contains(error, "is it a whole .gz?"));
}

TEST_CASE("a fingerprint changes with the files and with nothing else") {
  const TemporaryFolder folder;
  write_tree(folder);
  const std::string before = FileSource(folder / "tree").fingerprint();
  CHECK(FileSource(folder / "tree").fingerprint() == before);
  folder.write("tree/a.txt", "alphabet");
  CHECK(FileSource(folder / "tree").fingerprint() != before);
}
