// Campaigns of damaged checkpoints, of whatever program.
#pragma once

#include "apps/common/checkpoint.h"
#include "core/json.h"
#include "core/safetensors.h"
#include "tests/data/temporary_folder.h"
#include "tests/mutate.h"

namespace gradus::apps {

inline const std::vector<std::string> tensor_words = {
    "\"F32\"", "\"F64\"", "\"I64\"", "\"shape\":[0,4611686018427387904]", "\"shape\":[]", "[5]", "[1]", "[0,0]"};

/// Damages the valid checkpoint that is at `path` in two ways: the file's bytes, whose checksum is put right where the
/// file can be read at all, and what it says in words. `use` does what its programs do with one.
inline void checkpoint_campaigns(const std::string& name, const std::string& path,
                                 const std::function<void(const Checkpoint&)>& use, double share = 1) {
  const std::string valid = read_file(path);
  const auto write = [&path](const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; };
  mutation::Reader reader{.name = name,
                          .valid = valid,
                          .read =
                              [&](const std::string& bytes) {
                                write(bytes);
                                use(load_checkpoint(path));
                              },
                          .file = path,
                          .words = tensor_words,
                          .seal =
                              [&](std::string& bytes) {
                                try {
                                  write(bytes);
                                  const safetensors::Content content = safetensors::load(path);
                                  write_checkpoint(path, {content.tensors, content.metadata});
                                  bytes = read_file(path);
                                } catch (const Error&) {  // it stays as it is
                                }
                              },
                          .share = 2 * share,
                          .longest_message = 2000};
  mutation::campaign(reader);
  write(valid);
  const Checkpoint checkpoint = load_checkpoint(path);
  reader.name = name + " in words";
  reader.valid = Json(checkpoint.metadata).dump();
  reader.words = mutation::json_words();
  reader.seal = {};
  reader.share = share;
  reader.read = [&](const std::string& text) {
    const Json metadata = Json::parse_or_null(text);
    Checkpoint other{checkpoint.tensors, {}};
    if (!metadata.is_object()) fail(ErrorKind::value, "test", path, ": this variant is no metadata");
    for (const auto& [key, value] : metadata.object())
      other.metadata[key] = value.is_string() ? value.string() : value.dump();
    write_checkpoint(path, other);
    use(load_checkpoint(path));
  };
  mutation::campaign(reader);
}

}  // namespace gradus::apps
