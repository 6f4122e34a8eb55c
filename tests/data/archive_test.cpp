#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <map>

#include "data/file_source.h"
#include "data/image_folder.h"
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

void write_files(const TemporaryFolder& folder) {
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
  write_files(folder);
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
  write_files(folder);
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

TEST_CASE("a damaged header of a tar is an error, not the end of it") {
  if (!archives_are_built()) return;
  const TemporaryFolder folder;
  for (const char* name : {"tree/one", "tree/two"}) folder.write(name, "text");
  if (!shell(folder, "tar cf t.tar --format=ustar -C tree one two")) return;
  std::string bytes = read_file(folder / "t.tar");
  bytes[1024] ^= 1;  // each file takes a header and a block: this is the name of the second
  const std::string error = error_of([&] { content(FileSource(folder.write("t.tar", bytes))); });
  CHECK(contains(error, (folder / "t.tar") + " cannot be read ("));
}

TEST_CASE("content that does not match the checksum of its gzip is an error, also where a visitor stops early") {
  if (!archives_are_built()) return;
  const TemporaryFolder folder;
  for (const char* name : {"tree/one", "tree/two"}) folder.write(name, "text");
  if (!shell(folder, "tar czf t.tar.gz -C tree one two")) return;
  std::string bytes = read_file(folder / "t.tar.gz");
  bytes[bytes.size() - 7] ^= 1;
  const std::string path = folder.write("t.tar.gz", bytes);
  const auto first = [&](bool read_it) {
    FileSource(path).visit([&](const std::string&, const auto& read) {
      if (read_it) read();
      return false;
    });
  };
  CHECK(contains(error_of([&] { content(FileSource(path)); }), path + " is damaged (its content does not match"));
  CHECK(contains(error_of([&] { first(true); }), path + " is damaged"));
  CHECK_NOTHROW(first(false));
}

TEST_CASE("a file of more than a gibibyte in an archive is refused before it fills the memory") {
  if (!archives_are_built()) return;
  const TemporaryFolder folder;
  if (!shell(folder, "truncate -s 2G big && tar cSf t.tar big")) return;
  CHECK(contains(error_of([&] { content(FileSource(folder / "t.tar")); }),
                 (folder / "t.tar") + ": big holds more than 1073741824 bytes"));
}

TEST_CASE("no other program is started for a compression that only it knows") {
  if (!archives_are_built()) return;
  const TemporaryFolder folder;
  std::filesystem::permissions(folder.write("bin/lrzip", "#!/bin/sh\ntouch '" + (folder / "started") + "'\n"),
                               std::filesystem::perms::owner_all);
  const ScopedVariable path("PATH", (folder / "bin") + ":" + getenv("PATH"));
  const std::string archive = folder.write("t.tar.lrz", std::string("LRZI\0\6", 6) + std::string(1000, '\0'));
  CHECK(contains(error_of([&] { content(FileSource(archive)); }), archive));
  CHECK(!std::filesystem::exists(folder / "started"));
}

TEST_CASE("a pipe is refused instead of waited for") {
  const TemporaryFolder folder;
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(contains(error_of([&] { FileSource(folder / "pipe"); }),
                 (folder / "pipe") + " is neither a folder nor a regular file"));
  CHECK(contains(error_of([&] { read_gzip(folder / "pipe", 10); }), folder / "pipe"));
}

TEST_CASE("links to folders are followed, but not round in a circle") {
  const TemporaryFolder folder;
  folder.write("tree/a/one", "1");
  folder.write("tree/b/two", "2");
  std::filesystem::create_directory_symlink("..", folder / "tree/a/up");
  std::filesystem::create_directory_symlink("../b", folder / "tree/a/x");
  std::filesystem::create_directory_symlink("../a", folder / "tree/b/y");
  const std::map<std::string, std::string> files = {{"a/one", "1"}, {"a/x/two", "2"}, {"b/two", "2"}, {"b/y/one", "1"}};
  CHECK(content(FileSource(folder / "tree")) == files);
  CHECK_NOTHROW(FileSource(folder / "tree").fingerprint());
}

TEST_CASE("what an archive says of itself stays on one line of a message") {
  if (!archives_are_built()) return;
  const TemporaryFolder folder;
  folder.write("tree/train/a/x\ny.png", "no picture");
  if (!shell(folder,
             "tar cf t.tar -C tree train && python3 -c \"import zipfile; "
             "zipfile.ZipFile('t.zip', 'w').writestr('one', 'content')\""))
    return;
  CHECK(FileSource(folder / "t.tar").full_name(std::string(500, 'x')).size() == (folder / "t.tar").size() + 401);
  CHECK(contains(error_of([&] { read_image_folder(folder / "t.tar", {.cache = false}); }), "train/a/x?y.png is not a"));
  std::string bytes = read_file(folder / "t.zip");
  for (const size_t at : {bytes.find("PK\3\4") + 22, bytes.find("PK\1\2") + 24})
    bytes[at] ^= 1;  // the size of the only file: what libarchive says of that has a line break
  folder.write("t.zip", bytes);
  CHECK(contains(error_of([&] { content(FileSource(folder / "t.zip")); }), folder / "t.zip"));
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
  std::string damaged = read_file(zipped);
  damaged[damaged.size() - 6] ^= 1;  // the checksum's third byte
  CHECK(contains(error_of([&] { read_gzip(folder.write("damaged.gz", damaged), 1 << 20); }),
                 (folder / "damaged.gz") + " is damaged (its content does not match its checksum)"));
  std::filesystem::resize_file(zipped, std::filesystem::file_size(zipped) / 2);
  const std::string error = error_of([&] { read_gzip(zipped, 1 << 20); });
  CHECK(contains(error, zipped));
  CHECK(contains(error, "is it a whole .gz?"));
}

TEST_CASE("the members of a .gz are one content, and damage to any of them is an error") {
  if (!archives_are_built()) return;
  const TemporaryFolder folder;
  std::string big;
  for (uint32_t i = 1; big.size() < 300000; i = i * 1664525 + 1013904223) big += static_cast<char>('a' + (i >> 29));
  folder.write("a", big);
  folder.write("b", "");
  folder.write("c", "end");
  if (!shell(folder, "gzip -k a b c")) return;
  const std::string a = read_file(folder / "a.gz"), b = read_file(folder / "b.gz"), c = read_file(folder / "c.gz");
  const auto read = [&](const std::string& bytes) { return read_gzip(folder.write("all.gz", bytes), 1 << 20); };
  const auto error = [&](const std::string& bytes) { return error_of([&] { read(bytes); }); };
  CHECK(read(a + b + c) == big + "end");
  CHECK(read(b + b).empty());
  CHECK(read(c + a + b) == "end" + big);
  std::string many, expected;
  for (int i = 0; i < 5000; ++i) many += c, expected += "end";  // members end at every place of a block
  CHECK(read(many) == expected);
  CHECK(contains(error_of([&] { read_gzip(folder / "all.gz", 14999); }), "more than the 14999 bytes"));

  const std::string path = folder / "all.gz";
  std::string damaged = a;
  damaged[a.size() - 6] ^= 1;
  CHECK(contains(error(damaged + c), path + " is damaged (its content does not match its checksum): copy"));
  damaged = c;
  damaged[c.size() - 6] ^= 1;
  CHECK(contains(error(a + damaged + b),
                 path + " is damaged (its content does not match its checksum in part 2, each compressed by itself)"));
  damaged = c;
  damaged[c.size() - 2] ^= 1;  // the length's upper half
  CHECK(contains(error(a + damaged), "does not match its checksum in part 2"));
  CHECK(contains(error(a + c.substr(0, c.size() - 1)), "(it is cut: it ends within its compressed content in part 2"));
  CHECK(contains(error(a + c.substr(0, 2)), "it is cut"));
  damaged = c;
  damaged[2] = 9;  // no compression that there is
  CHECK(contains(error(a + damaged), path + " cannot be read ("));
}

TEST_CASE("what stands behind a .gz is an error that says where, but for zeros") {
  if (!archives_are_built()) return;
  const TemporaryFolder folder;
  folder.write("x", "content");
  if (!shell(folder, "gzip x")) return;
  const std::string zipped = read_file(folder / "x.gz");
  const auto read = [&](const std::string& more) { return read_gzip(folder.write("x.gz", zipped + more), 1 << 20); };
  const std::string from = text(" bytes behind its compressed content, from byte ", zipped.size(), " on");
  CHECK(read(std::string(200000, '\0')) == "content");
  for (const auto& item : std::map<std::string, const char*>{{"x", " has 1"},
                                                             {"<html>", " has 6"},
                                                             {std::string("\0\x1f\x8b", 3), " has 3"},
                                                             {"\x1f", " has 1"},
                                                             {std::string(200000, '\0') + "x", " has 200001"}})
    CHECK(contains(error_of([&] { read(item.first); }), (folder / "x.gz") + item.second + from));
}

TEST_CASE("a .tar.gz of several members is one archive, and several .tar one after another are one") {
  if (!archives_are_built()) return;
  const TemporaryFolder folder;
  write_files(folder);
  if (!shell(folder, "tar cf t.tar -C tree . && split -b 7000 t.tar part. && gzip part.* && cat part.*.gz >t.tar.gz"))
    return;
  CHECK(content(FileSource(folder / "t.tar.gz")) == expected);
  folder.write("more/d.txt", "delta");
  if (!shell(folder,
             "tar cf u.tar -C more d.txt && cat t.tar u.tar >tu.tar && gzip -k t.tar u.tar -c >tu.tar.gz &&"
             "cat t.tar t.tar.gz >bad.tar && (cat t.tar.gz; echo more) >bad.tar.gz"))
    return;
  auto both = expected;
  both["d.txt"] = "delta";
  CHECK(content(FileSource(folder / "tu.tar")) == both);
  CHECK(content(FileSource(folder / "tu.tar.gz")) == both);
  for (const char* name : {"bad.tar", "bad.tar.gz"})
    CHECK(contains(error_of([&] { content(FileSource(folder / name)); }), folder / name));
}

TEST_CASE("a .tar that was cut between two files is an error, and one with a single block of zeros is whole") {
  if (!archives_are_built()) return;
  const TemporaryFolder folder;
  const std::map<std::string, std::string> files = {{"one", "1"}, {"two", "2"}};
  for (const auto& [name, bytes] : files) folder.write("tree/" + name, bytes);
  for (const char* format : {"ustar", "gnu", "pax"}) {
    CAPTURE(format);
    if (!shell(folder, text("tar cf t.tar --format=", format, " -C tree one two"))) return;
    const std::string whole = read_file(folder / "t.tar");
    const size_t end = whole.find_last_not_of('\0') / 512 * 512 + 512, half = end / 2;
    for (const auto& item :
         std::map<std::string, std::string>{{"", ""}, {".gz", "gzip"}, {".bz2", "bzip2"}, {".xz", "xz"}}) {
      const std::string path = folder / ("c.tar" + item.first), command = item.second;
      const auto source = [&](size_t size) {
        folder.write("c.tar", whole.substr(0, size));
        if (!command.empty()) REQUIRE(shell(folder, command + " -fk c.tar"));
        return FileSource(path);
      };
      if (!command.empty() && !shell(folder, command + " --version >version </dev/null")) continue;
      for (const size_t size : {whole.size(), end + 1024, end + 512}) CHECK(content(source(size)) == files);
      for (const size_t size : {end, half})
        CHECK(contains(error_of([&] { content(source(size)); }),
                       path + " ends after a file, without the zeros that close a .tar"));
      // What a visitor got before it stopped is whole.
      CHECK_NOTHROW(source(half).visit([](const std::string&, const auto&) { return false; }));
    }
  }
}

TEST_CASE("the archives of ../shared/data are whole") {
  if (!archives_are_built()) return;
  for (const char* name : {"cifar10-jpeg.tar.gz", "imagenet-sample.tar"}) {
    const std::string path = shared_data(name);
    if (path.empty()) continue;
    int files = 0;
    CHECK_NOTHROW(FileSource(path).visit([&](const std::string&, const auto&) { return ++files > 0; }));
    CHECK(files > 100);
  }
}

TEST_CASE("a fingerprint changes with the files and with nothing else") {
  const TemporaryFolder folder;
  write_files(folder);
  const std::string before = FileSource(folder / "tree").fingerprint();
  CHECK(FileSource(folder / "tree").fingerprint() == before);
  folder.write("tree/a.txt", "alphabet");
  CHECK(FileSource(folder / "tree").fingerprint() != before);
}
