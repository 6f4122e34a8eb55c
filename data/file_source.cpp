#include "data/file_source.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/shortened.h"
#include "data/md5.h"

namespace gradus {
namespace {

namespace fs = std::filesystem;

bool is_hidden(std::string_view name) { return name.starts_with('.') || name.find("/.") != name.npos; }

/// False where the visitor stopped. `above` are the folders that this one was reached through.
bool visit_folder(const fs::path& folder, const std::string& prefix, const FileVisitor& visit,
                  std::vector<fs::path>& above) {
  const fs::path place = fs::canonical(folder);
  if (std::find(above.begin(), above.end(), place) != above.end()) return true;  // by a link: it would have no end
  above.push_back(place);
  std::vector<fs::directory_entry> entries;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) entries.push_back(entry);
  std::sort(entries.begin(), entries.end());
  for (const fs::directory_entry& entry : entries) {
    const std::string base = entry.path().filename().string(), name = prefix + base;
    if (is_hidden(base)) continue;
    if (entry.is_directory()) {
      if (!visit_folder(entry.path(), name + "/", visit, above)) return false;
    } else if (entry.is_regular_file()) {
      if (!visit(name, [&] { return read_file(entry.path().string()); })) return false;
    }
  }
  above.pop_back();
  return true;
}

std::string stamp(const fs::path& file) {
  return text(fs::file_size(file), " ", fs::last_write_time(file).time_since_epoch().count(), "\n");
}

/// std::filesystem's errors, as ours.
template <class Work>
auto with_io_errors(const std::string& path, Work&& work) {
  try {
    return work();
  } catch (const fs::filesystem_error& error) {
    const fs::path& where = error.path1().empty() ? fs::path(path) : error.path1();
    fail(ErrorKind::io, "data", where.string(), " cannot be read (", error.code().message(),
         "): check the path and its permissions");
  }
}

}  // namespace

FileSource::FileSource(std::string path) : path_(std::move(path)) {
  is_archive_ = with_io_errors(path_, [&] {
    const fs::file_status status = fs::status(path_);
    if (!fs::exists(status)) fail(ErrorKind::io, "data", path_, " does not exist: check the path");
    if (!fs::is_directory(status) && !fs::is_regular_file(status))
      fail(ErrorKind::io, "data", path_, " is neither a folder nor a regular file: name one of them");
    return !fs::is_directory(status);
  });
}

std::string FileSource::full_name(const std::string& name) const {
  return is_archive_ ? path_ + ":" + shortened(name, 400) : (fs::path(path_) / name).string();
}

void FileSource::visit(const FileVisitor& visit) const {
  if (is_archive_)
    return visit_archive(path_, [&](const std::string& name, const std::function<std::string()>& read) {
      return is_hidden(name) || visit(name, read);
    });
  std::vector<fs::path> above;
  with_io_errors(path_, [&] { visit_folder(path_, "", visit, above); });
}

std::string FileSource::fingerprint() const {
  return with_io_errors(path_, [&] {
    std::string all = fs::canonical(path_).string() + "\n";
    if (is_archive_) {
      all += stamp(path_);
    } else {
      visit([&](const std::string& name, const auto&) {
        all += name + " " + stamp(fs::path(path_) / name);
        return true;
      });
    }
    return md5_hex(bytes_of(all));
  });
}

std::string_view base_name(std::string_view name) { return name.substr(name.rfind('/') + 1); }

std::string_view folder_of(std::string_view name) {
  const size_t slash = name.rfind('/');
  return slash == name.npos ? std::string_view() : name.substr(0, slash);
}

void OnePlace::add(const std::string& name, std::string_view folder) {
  if (first_.empty()) {
    first_ = name;
    folder_ = folder;
  } else if (folder != folder_) {
    fail(ErrorKind::io, "data", source_.path(), " holds several data sets: ", kind_, " (", shortened(first_, 200),
         "), ", kind_, " (", shortened(name, 200), "); name the folder of one, or keep all of one in one folder");
  }
}

}  // namespace gradus
