// data/jpeg.h through libjpeg-turbo, which can leave out rows, columns and, in powers of two, resolution.
#include <cstdio>  // before jpeglib.h, which lacks it

#include <jpeglib.h>

#include <jerror.h>

#include <algorithm>
#include <csetjmp>

#include "core/error.h"
#include "data/image_file.h"
#include "data/jpeg.h"

namespace gradus {
namespace {

/// A decompressor whose errors come back as exceptions: libjpeg must not return from an error, and an exception must
/// not cross its frames, so they jump to call().
class Decompressor {
 public:
  explicit Decompressor(std::string_view name) : name_(name) {
    info_.err = jpeg_std_error(&errors_);
    info_.client_data = this;
    errors_.error_exit = [](j_common_ptr info) { self(info).leave(); };
    // What libjpeg goes on after: harmless oddities, and data that are not there or make no sense.
    errors_.emit_message = [](j_common_ptr info, int level) {
      constexpr int damage[] = {JWRN_HIT_MARKER, JWRN_HUFF_BAD_CODE, JWRN_JPEG_EOF, JWRN_MUST_RESYNC};
      if (level < 0 && std::count(std::begin(damage), std::end(damage), info->err->msg_code) > 0) self(info).leave();
    };
    errors_.output_message = [](j_common_ptr) {};
    progress_.progress_monitor = [](j_common_ptr info) {
      if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > most_jpeg_scans)
        self(info).leave("more than 100 scans");
    };
    call([&] { jpeg_create_decompress(&info_); });
    info_.progress = &progress_;
  }
  ~Decompressor() { jpeg_destroy_decompress(&info_); }
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  jpeg_decompress_struct* operator->() { return &info_; }
  jpeg_decompress_struct* get() { return &info_; }

  /// `work` calls libjpeg and keeps nothing that would have to be destroyed.
  template <class Work>
  void call(const Work& work) {
    if (setjmp(escape_) != 0)
      fail(ErrorKind::io, "decode_image", name_, " is damaged (", message_, "): replace or remove it");
    work();
  }

 private:
  static Decompressor& self(j_common_ptr info) { return *static_cast<Decompressor*>(info->client_data); }
  [[noreturn]] void leave(const char* reason = nullptr) {
    if (reason)
      std::snprintf(message_, sizeof message_, "%s", reason);
    else
      errors_.format_message(reinterpret_cast<j_common_ptr>(&info_), message_);
    std::longjmp(escape_, 1);
  }

  std::string_view name_;
  jpeg_decompress_struct info_ = {};
  jpeg_error_mgr errors_ = {};
  jpeg_progress_mgr progress_ = {};
  std::jmp_buf escape_;
  char message_[JMSG_LENGTH_MAX] = "";
};

/// The largest of 1, 2, 4, 8 that leaves the box its height x width pixels.
int64_t shrink_for(const Box& box, int64_t height, int64_t width) {
  int64_t shrink = 8;
  while (shrink > 1 &&
         (box.height < static_cast<double>(shrink * height) || box.width < static_cast<double>(shrink * width)))
    shrink /= 2;
  return shrink;
}

/// RGB from CMYK, in place. Adobe's programs write ink as 255 minus its amount, and say that they wrote it.
void convert_cmyk(Image& image, bool inverted) {
  const size_t count = image.pixels.size() / 4;
  for (size_t i = 0; i < count; ++i) {
    const uint8_t* ink = image.pixels.data() + 4 * i;
    const auto light = [&](uint8_t value) { return inverted ? int{value} : 255 - value; };
    const int black = light(ink[3]);
    uint8_t rgb[3];
    for (int c = 0; c < 3; ++c) rgb[c] = static_cast<uint8_t>((light(ink[c]) * black + 127) / 255);
    std::copy(rgb, rgb + 3, image.pixels.data() + 3 * i);
  }
  image.channels = 3;
  image.pixels.resize(3 * count);
}

}  // namespace

std::optional<PicturePart> decode_jpeg_part(std::span<const uint8_t> bytes, std::string_view name,
                                            const ChooseCrop& choose, int64_t height, int64_t width) {
  require_whole_jpeg(bytes, name);
  Decompressor jpeg(name);
  jpeg.call([&] {
    jpeg_mem_src(jpeg.get(), bytes.data(), bytes.size());
    jpeg_read_header(jpeg.get(), TRUE);
  });
  const int64_t whole_height = jpeg->image_height, whole_width = jpeg->image_width;
  check_extents(whole_height, whole_width, name);
  const Crop crop = choose(whole_height, whole_width);
  const int64_t shrink = shrink_for(crop.box, height, width);
  PicturePart part{.image = {}, .region = region_of(crop, whole_height, whole_width, shrink)};
  Region& region = part.region;

  const bool cmyk = jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK;
  jpeg->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  jpeg->scale_num = 1;
  jpeg->scale_denom = static_cast<unsigned>(shrink);
  // Columns at the edge of what is decoded lack the neighbor that their color is interpolated with: one more on
  // either side. libjpeg begins at the block before that.
  constexpr int64_t neighbors = 2;
  JDIMENSION left = static_cast<JDIMENSION>(std::max<int64_t>(0, region.left - neighbors)), columns = 0;
  jpeg.call([&] {
    jpeg_start_decompress(jpeg.get());
    const int64_t end = std::min<int64_t>(jpeg->output_width, region.left + region.width + neighbors);
    columns = static_cast<JDIMENSION>(end - left);
    if (columns < jpeg->output_width) jpeg_crop_scanline(jpeg.get(), &left, &columns);
    if (region.top > 0) jpeg_skip_scanlines(jpeg.get(), static_cast<JDIMENSION>(region.top));
  });
  Image& image = part.image;
  image = {.height = region.height, .width = jpeg->output_width, .channels = jpeg->output_components, .pixels = {}};
  const int64_t row = image.width * image.channels;
  image.pixels.resize(static_cast<size_t>(row * image.height));
  jpeg.call([&] {
    for (int64_t y = 0; y < image.height;) {
      JSAMPROW to = image.pixels.data() + y * row;
      y += jpeg_read_scanlines(jpeg.get(), &to, 1);
    }
  });
  region.top = 0;
  region.left -= left;
  if (cmyk) convert_cmyk(image, jpeg->saw_Adobe_marker != FALSE);
  return part;
}

}  // namespace gradus
