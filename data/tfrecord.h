// TensorFlow's record framing, in which event files are written.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gradus {

/// CRC-32C (Castagnoli): the reflected polynomial 0x82f63b78.
uint32_t crc32c(std::string_view bytes);
/// Rotated and shifted, so that a checksum of data that holds checksums is not degenerate.
uint32_t masked_crc32c(std::string_view bytes);
/// Length, its checksum, the data, their checksum.
std::string tfrecord(std::string_view data);

}  // namespace gradus
