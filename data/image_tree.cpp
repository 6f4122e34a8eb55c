#include "data/image_tree.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <tuple>

#include "core/error.h"
#include "core/joined.h"
#include "core/shortened.h"
#include "data/image.h"

namespace gradus {
namespace {

/// Where a file belongs: TOP may be empty.
struct Place {
  std::string top, split, class_name;
};

/// The names of the folders above a file, outermost first.
std::vector<std::string> folders_of(const std::string& name) {
  std::vector<std::string> parts;
  for (size_t begin = 0, end; (end = name.find('/', begin)) != name.npos; begin = end + 1)
    parts.push_back(name.substr(begin, end - begin));
  return parts;
}

std::optional<Place> place_of(const std::string& name) {
  const std::vector<std::string> parts = folders_of(name);
  for (size_t i = 0; i < std::min<size_t>(parts.size(), 2); ++i)
    if (parts[i] == "train" || parts[i] == "test" || parts[i] == "val") {
      if (i + 1 == parts.size()) return std::nullopt;
      return Place{i == 0 ? "" : parts[0], parts[i], parts[i + 1]};
    }
  return std::nullopt;
}

void sort(std::vector<ImageFile>& files) {
  std::sort(files.begin(), files.end(), [](const ImageFile& a, const ImageFile& b) {
    return std::tie(a.class_name, a.name) < std::tie(b.class_name, b.name);
  });
}

bool is_any_image_name(const std::string& name) { return is_image_name(name) || is_unread_image_name(name); }

/// Leaves out of sorted files what is not read; `prefix` is what stands before the classes in the note.
void leave_out_unread(std::vector<ImageFile>& files, const std::string& prefix, const FileSource& source,
                      std::vector<std::string>& notes) {
  struct Count {
    int64_t read = 0, unread = 0;
    std::string example;
  };
  std::map<std::string, Count> classes;
  for (const ImageFile& file : files) {
    Count& count = classes[file.class_name];
    ++(is_image_name(file.name) ? count.read : count.unread);
    if (!is_image_name(file.name)) count.example = file.name;
  }
  std::erase_if(classes, [](const auto& one) { return one.second.unread == 0; });
  constexpr const char* remedy = "convert them to PNG or JPEG";
  int64_t all = 0;
  for (const auto& [name, count] : classes) {
    all += count.unread;
    if (count.read == 0)
      fail(ErrorKind::io, "image_folder", "all pictures of ", prefix, name, " are in a format that is not read, as ",
           source.full_name(count.example), " is: ", remedy);
  }
  if (all == 0) return;
  const std::string list =
      joined(classes, [&](const auto& one) { return text(prefix, one.first, " (", one.second.unread, ")"); });
  notes.push_back(text(all, " pictures in ", source.path(),
                       " are in a format that is not read, and left out: ", shortened(list, 400), "; ", remedy));
  std::erase_if(files, [](const ImageFile& file) { return !is_image_name(file.name); });
}

}  // namespace

bool is_in_split(const std::string& name) { return place_of(name).has_value(); }

ImageTree list_splits(const FileSource& source, bool read_bytes, std::vector<std::string>& notes) {
  ImageTree tree;
  OnePlace top(source, "pictures");
  source.visit([&](const std::string& name, const std::function<std::string()>& read) {
    if (!is_any_image_name(name)) return true;
    if (const std::optional<Place> place = place_of(name)) {
      top.add(name, place->top);
      const bool needed = read_bytes && is_image_name(name);
      tree[place->split].push_back({place->class_name, name, needed ? read() : std::string()});
    }
    return true;
  });
  for (auto& [split, files] : tree) {
    sort(files);
    leave_out_unread(files, split + "/", source, notes);
  }
  return tree;
}

std::vector<ImageFile> list_classes(const FileSource& source, bool read_bytes, std::vector<std::string>& notes) {
  std::vector<ImageFile> files;
  source.visit([&](const std::string& name, const std::function<std::string()>& read) {
    if (is_any_image_name(name) && name.find('/') != name.npos)
      files.push_back({{}, name, read_bytes && is_image_name(name) ? read() : std::string()});
    return true;
  });
  // A folder that everything lies in, with folders below, is no class.
  const auto lies_deeper = [&](const ImageFile& file) {
    const std::vector<std::string> parts = folders_of(file.name);
    return parts.size() > 1 && parts[0] == folders_of(files.front().name)[0];
  };
  const size_t level = std::all_of(files.begin(), files.end(), lies_deeper) ? 1 : 0;
  for (ImageFile& file : files) file.class_name = folders_of(file.name)[level];
  sort(files);
  leave_out_unread(files, "", source, notes);
  return files;
}

std::vector<std::string> class_names_of(const std::vector<ImageFile>& files) {
  std::vector<std::string> names;
  for (const ImageFile& file : files)
    if (names.empty() || names.back() != file.class_name) names.push_back(file.class_name);
  return names;
}

std::vector<int32_t> labels_of(const std::vector<ImageFile>& files, const std::vector<std::string>& class_names,
                               const FileSource& source) {
  std::vector<int32_t> labels;
  for (const ImageFile& file : files) {
    const auto found = std::lower_bound(class_names.begin(), class_names.end(), file.class_name);
    if (found == class_names.end() || *found != file.class_name)
      fail(ErrorKind::io, "image_folder", source.full_name(file.name), " is of class '", file.class_name,
           "', which has no image under train: add some, or remove this class");
    labels.push_back(static_cast<int32_t>(found - class_names.begin()));
  }
  return labels;
}

std::string title_of(const FileSource& source) {
  std::filesystem::path path = source.path();
  if (!path.has_filename()) path = path.parent_path();
  std::string name = path.filename().string();
  for (const char* ending : {".gz", ".tar", ".tgz", ".zip"})
    if (name.ends_with(ending)) name.resize(name.size() - std::string_view(ending).size());
  return name;
}

}  // namespace gradus
