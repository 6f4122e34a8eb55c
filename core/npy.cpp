// The .npy format: "\x93NUMPY", version, length of the header, a Python dictionary as text, then the elements' bytes.
#include "core/npy.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/error.h"
#include "core/file.h"
#include "core/half.h"
#include "core/ops.h"
#include "core/shortened.h"

namespace gradus {
namespace {

static_assert(std::endian::native == std::endian::little, "what is written here is marked as little-endian");

constexpr std::string_view magic("\x93NUMPY", 6);
constexpr size_t alignment = 64;
constexpr uint64_t max_header = 1 << 16;  ///< far more than rank 8 needs

struct Descr {
  DType dtype;
  std::string_view text;
};
constexpr Descr descrs[] = {{DType::float32, "<f4"}, {DType::float64, "<f8"}, {DType::int32, "<i4"},
                            {DType::int64, "<i8"},   {DType::uint8, "|u1"},   {DType::boolean, "|b1"}};
constexpr std::string_view half_descr = "<f2";  ///< read as float32

/// A file being read: every error begins with its name.
class Reader {
 public:
  explicit Reader(const std::string& path) : file_(path) {}

  Tensor read() {
    read_header();
    parse_dictionary();
    int64_t bytes = is_half_ ? 2 : static_cast<int64_t>(size_of(dtype_));
    for (int64_t extent : shape_)
      if (__builtin_mul_overflow(bytes, extent, &bytes)) reject("the size of its shape ", shape_, " overflows");
    const uint64_t present = file_.size() - header_end_;
    if (present != static_cast<uint64_t>(bytes))
      reject(is_half_ ? "float16" : name(dtype_), " ", shape_, " takes ", bytes, " bytes, but ", present,
             " follow the header", present < static_cast<uint64_t>(bytes) ? ": the file was cut short" : "");
    const std::vector<char> data = file_.read(static_cast<size_t>(bytes));
    try {
      return tensor_of(is_half_ ? widened_halves(data) : data);
    } catch (const Error& error) {
      reject(error.what());
    }
  }

 private:
  Tensor tensor_of(const std::vector<char>& data) const {
    if (!fortran_order_) return Tensor::from_bytes(data.data(), shape_, dtype_);
    Shape reversed;
    Dims order;
    for (int d = shape_.rank() - 1; d >= 0; --d) {
      reversed.push_back(shape_[d]);
      order.push_back(d);
    }
    return contiguous(permute(Tensor::from_bytes(data.data(), reversed, dtype_), order));
  }

  template <class... Args>
  [[noreturn]] void reject(const Args&... reason) const {
    fail(ErrorKind::io, "npy", file_.path(), ": ", reason...);
  }

  void read_header() {
    char start[8];
    if (file_.size() < sizeof start + 2)
      reject("has ", file_.size(), " bytes, fewer than a header takes: it was cut short");
    file_.read(start, sizeof start);
    if (!std::string_view(start, sizeof start).starts_with(magic)) reject("does not begin as a .npy file");
    const int major = static_cast<unsigned char>(start[6]), minor = static_cast<unsigned char>(start[7]);
    if ((major != 1 && major != 2) || minor != 0)
      reject("has format version ", major, ".", minor, "; versions 1.0 and 2.0 are read");
    const size_t width = major == 1 ? 2 : 4;
    if (file_.size() < sizeof start + width) reject("ends within the length of its header: it was cut short");
    uint32_t length = 0;
    file_.read(&length, width);
    header_end_ = sizeof start + width + length;
    if (length > max_header || header_end_ > file_.size())
      reject("claims a header of ", length, " bytes, but ", file_.size() - sizeof start - width, " follow and at most ",
             max_header, " are read", header_end_ > file_.size() ? ": the file was cut short" : "");
    text_.resize(length);
    file_.read(text_.data(), length);
    left_ = text_;
  }

  // ---- The dictionary: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } in any order of its keys
  // ----------

  void skip_space() {
    while (!left_.empty() && std::isspace(static_cast<unsigned char>(left_[0])) != 0) left_.remove_prefix(1);
  }
  bool take(std::string_view token) {
    skip_space();
    if (!left_.starts_with(token)) return false;
    left_.remove_prefix(token.size());
    return true;
  }
  void expect(std::string_view token) {
    if (!take(token)) reject("the header lacks '", token, "' at character ", text_.size() - left_.size() + 1);
  }
  std::string_view quoted() {
    skip_space();
    const char quote = left_.empty() ? '\0' : left_[0];
    const size_t end = quote == '\'' || quote == '"' ? left_.find(quote, 1) : left_.npos;
    if (end == left_.npos) reject("the header has no text in quotes at character ", text_.size() - left_.size() + 1);
    const std::string_view word = left_.substr(1, end - 1);
    left_.remove_prefix(end + 1);
    return word;
  }

  void parse_dictionary() {
    bool seen[3] = {};
    expect("{");
    while (!take("}")) {
      const std::string_view key = quoted();
      expect(":");
      const int index = key == "descr" ? 0 : key == "fortran_order" ? 1 : key == "shape" ? 2 : -1;
      if (index < 0 || seen[index]) reject("the header has a key too many: '", shortened(key), "'");
      seen[index] = true;
      if (index == 0) parse_descr();
      if (index == 1) {
        fortran_order_ = take("True");
        if (!fortran_order_) expect("False");
      }
      if (index == 2) parse_shape();
      if (!take(",")) {
        expect("}");
        break;
      }
    }
    skip_space();
    if (!left_.empty()) reject("the header goes on behind its dictionary");
    if (!seen[0] || !seen[1] || !seen[2]) reject("the header lacks one of descr, fortran_order and shape");
  }

  void parse_descr() {
    skip_space();
    if (left_.starts_with('[')) reject("it holds records, which are no tensor: save one field of them");
    const std::string_view text = quoted();
    is_half_ = text == half_descr;
    if (is_half_) return;
    for (const Descr& known : descrs)
      if (text == known.text) {
        dtype_ = known.dtype;
        return;
      }
    reject("its dtype '", shortened(text), "' is none of gradus': save array.astype('<f4'), or <f8, <i4, <i8, u1, ?");
  }

  void parse_shape() {
    expect("(");
    while (!take(")")) {
      skip_space();
      int64_t extent = 0;
      size_t digits = 0;
      for (; digits < left_.size() && std::isdigit(static_cast<unsigned char>(left_[digits])) != 0; ++digits)
        if (__builtin_mul_overflow(extent, 10, &extent) || __builtin_add_overflow(extent, left_[digits] - '0', &extent))
          reject("the size of its shape overflows");
      if (digits == 0) reject("its shape is no list of non-negative integers");
      left_.remove_prefix(digits);
      if (shape_.rank() == max_rank) reject("its rank is above ", max_rank);
      shape_.push_back(extent);
      if (!take(",")) {
        expect(")");
        break;
      }
    }
  }

  FileReader file_;
  std::string text_;
  std::string_view left_;
  uint64_t header_end_ = 0;
  DType dtype_ = DType::float32;
  bool is_half_ = false;  ///< in the file
  bool fortran_order_ = false;
  Shape shape_;
};

}  // namespace

void save_npy(const std::string& path, const Tensor& tensor) {
  if (!tensor.defined()) fail(ErrorKind::value, "npy", "the tensor for ", path, " is undefined");
  const auto found = std::find_if(std::begin(descrs), std::end(descrs),
                                  [&](const Descr& descr) { return descr.dtype == tensor.dtype(); });
  if (found == std::end(descrs))
    fail(ErrorKind::dtype, "npy", "NumPy has no ", tensor.dtype(), " for ", path, ": cast(x, DType::float32) first");
  std::string shape = "(";
  for (int64_t extent : tensor.shape()) shape += std::to_string(extent) + (tensor.rank() == 1 ? "," : ", ");
  if (tensor.rank() > 1) shape.resize(shape.size() - 2);
  std::string header = text("{'descr': '", found->text, "', 'fortran_order': False, 'shape': ", shape, "), }");
  const size_t fixed = magic.size() + 4;  // version and length
  header.resize((fixed + header.size() + alignment) / alignment * alignment - fixed, ' ');
  header.back() = '\n';
  const uint16_t length = static_cast<uint16_t>(header.size());
  write_file_atomically(path, [&](FileWriter& file) {
    file.write(magic);
    file.write(std::string_view("\x01\x00", 2));
    file.write(&length, sizeof length);
    file.write(header);
    const std::vector<char> bytes = tensor.to_bytes();
    file.write(bytes.data(), bytes.size());
  });
}

Tensor load_npy(const std::string& path) { return Reader(path).read(); }

}  // namespace gradus
