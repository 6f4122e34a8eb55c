// Campaigns of damaged files: of a small valid one thousands of variants are made, each of which must be read, or be
// rejected by one line that names the file. No other exception, crash or endless loop, and no memory beyond what a file
// of that size can need.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

#include "core/error.h"
#include "core/random.h"

namespace gradus::mutation {

/// What is put to the test.
struct Reader {
  std::string name;                                           ///< in failures
  std::string valid;                                          ///< the bytes of a file that it reads
  std::function<void(const std::string& variant)> read = {};  ///< writes the bytes where they belong, and reads them
  std::string file = {};                                      ///< what each message must name
  std::vector<std::string> words = {};                        ///< of the format: they are put where they do not belong
  std::function<void(std::string& variant)> seal = {};        ///< makes checksums fit again, in every other variant
  double share = 1;                                           ///< of the usual number of variants
  size_t memory = size_t{64} << 20, longest_message = 600;    ///< bytes; of a message, beyond the file's name
};

/// A number from the environment.
inline uint64_t number_of(const char* variable, uint64_t otherwise) {
  const char* given = std::getenv(variable);
  return given != nullptr ? std::strtoull(given, nullptr, 10) : otherwise;
}

/// What a header may say to mislead its reader.
inline const std::vector<std::string>& odd_numbers() {
  static const std::vector<std::string> numbers = [] {
    std::istringstream list(
        "0 -0 -1 1 0000000000000000000000007 65536 2147483647 2147483648 4294967295 4294967296 4611686018427387904 "
        "9223372036854775807 9223372036854775808 18446744073709551615 18446744073709551616 -9223372036854775808 1e5 "
        "1.5 1e999 -1e-999 NaN Infinity -inf null true \"7\" [] {}");
    return std::vector<std::string>(std::istream_iterator<std::string>(list), {});
  }();
  return numbers;
}

/// Words of JSON.
inline std::vector<std::string> json_words() {
  return {"null", "true", "{}", "[]", "{\"a\":1,\"a\":2}", "\"", ",", ":", "}", "]"};
}

inline std::string on_one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

/// One damaged variant: a function of the valid bytes, the seed and the variant's number.
class Mutator {
 public:
  Mutator(const Reader& reader, uint64_t seed, uint64_t number) : reader_(reader), random_(seed, number) {}

  std::string variant() {
    std::string bytes = reader_.valid;
    for (uint64_t left = 1 + below(4); left > 0; --left) mutate(bytes);
    return bytes;
  }

 private:
  size_t below(size_t n) { return static_cast<size_t>(random_.below(std::max<size_t>(n, 1))); }
  template <class T>
  const T& one_of(const std::vector<T>& values) {
    return values[below(values.size())];
  }

  void mutate(std::string& bytes) {
    const size_t size = bytes.size(), at = below(size), length = below(1 + std::min<size_t>(size - at, 64));
    switch (below(11)) {
      case 0: bytes.resize(at); return;
      case 1: bytes.insert(at, bytes.substr(at, length)); return;
      case 2: bytes.erase(at, length); return;
      case 3: bytes.insert(below(size + 1), bytes.substr(at, length)); return;
      case 4: put_text(bytes, at); return;
      case 5: replace_number(bytes, at); return;
      case 6: put_integer(bytes, at); return;
      case 7:
        for (size_t i = 0; i < length; ++i) bytes[at + i] = static_cast<char>(below(256));
        return;
      default:
        if (size == 0) return;
        bytes[at] = static_cast<char>(below(2) == 0 ? bytes[at] ^ 1 << below(8) : odd_bytes[below(sizeof odd_bytes)]);
    }
  }

  /// Inserts a word, in place of what follows in half of the cases.
  void put_text(std::string& bytes, size_t at) {
    const std::string word = below(3) == 0 || reader_.words.empty() ? trap() : one_of(reader_.words);
    bytes.replace(at, below(2) == 0 ? 0 : std::min(word.size(), bytes.size() - at), word);
  }

  std::string trap() {
    const size_t many = 1 + below(4000);
    switch (below(6)) {
      case 0: return std::string(many, '[');
      case 1: return std::string(many, static_cast<char>(below(256)));
      case 2: return "\n\r\x1b[31m";
      case 3: return one_of(odd_numbers());
      case 4: {
        std::string nested;
        for (size_t i = 0; i < many / 8; ++i) nested += "{\"a\":";
        return nested;
      }
      default: return std::string("\0\xff\xfe\xed\xa0\x80\"\\", 8);
    }
  }

  /// The first decimal number behind `at` becomes another.
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }
  void replace_number(std::string& bytes, size_t at) {
    const auto from = std::find_if(bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.end(), is_digit);
    bytes.replace(from, std::find_if_not(from, bytes.end(), is_digit), one_of(odd_numbers()));
  }

  /// A binary number of 2, 4 or 8 bytes, in either order.
  void put_integer(std::string& bytes, size_t at) {
    static const std::vector<uint64_t> values = {0,
                                                 1,
                                                 2,
                                                 0x7f,
                                                 0x80,
                                                 0xff,
                                                 0x7fff,
                                                 0x8000,
                                                 0xffff,
                                                 0x7fffffff,
                                                 0x80000000,
                                                 0xffffffff,
                                                 uint64_t{1} << 40,
                                                 uint64_t{1} << 62,
                                                 ~uint64_t{0} >> 1,
                                                 uint64_t{1} << 63,
                                                 ~uint64_t{0},
                                                 0x7ff0000000000000,
                                                 0x7ff8000000000000};
    const size_t width = size_t{2} << below(3);
    const uint64_t value = one_of(values);
    const bool big = below(2) == 0;
    for (size_t i = 0; i < width && at + i < bytes.size(); ++i)
      bytes[at + i] = static_cast<char>(value >> 8 * (big ? width - 1 - i : i));
  }

  static constexpr uint8_t odd_bytes[] = {0, 1, 0x7f, 0x80, 0xfe, 0xff, '0', '9', '"', '[', '\n', ' '};

  const Reader& reader_;
  Generator random_;
};

/// While it lives, this process may take so much more memory, and a minute.
class Limits {
 public:
  explicit Limits(size_t more) {
    getrlimit(RLIMIT_DATA, &before_);
    rlimit limit = before_;
    limit.rlim_cur = std::min<rlim_t>(before_.rlim_max, taken() + more);
    setrlimit(RLIMIT_DATA, &limit);
    alarm(60);
  }
  ~Limits() {
    alarm(0);
    setrlimit(RLIMIT_DATA, &before_);
  }
  Limits(const Limits&) = delete;
  Limits& operator=(const Limits&) = delete;

 private:
  static size_t taken() {
    unsigned long pages = 0;
    if (std::FILE* file = std::fopen("/proc/self/statm", "r")) {
      if (std::fscanf(file, "%*u %*u %*u %*u %*u %lu", &pages) != 1) pages = 0;
      std::fclose(file);
    }
    return pages * static_cast<size_t>(sysconf(_SC_PAGESIZE));
  }

  rlimit before_ = {};
};

/// While it lives, what ends the process says first which variant it was.
class LastWords {
 public:
  LastWords() {
    out = dup(STDERR_FILENO);  // which a reader may turn elsewhere
    for (size_t i = 0; i < count; ++i) {
      struct sigaction action = {};
      action.sa_handler = say;
      action.sa_flags = SA_ONSTACK;
      sigaction(signals[i], &action, &before[i]);
    }
  }
  ~LastWords() {
    close(out);
    for (size_t i = 0; i < count; ++i) sigaction(signals[i], &before[i], nullptr);
  }
  LastWords(const LastWords&) = delete;
  LastWords& operator=(const LastWords&) = delete;

  static inline char words[200] = "";

 private:
  static constexpr int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM};
  static constexpr size_t count = std::size(signals);
  static inline struct sigaction before[count] = {};
  static inline int out = -1;

  static void say(int signal) {
    if (write(out, words, std::strlen(words)) < 0) _exit(1);
    for (size_t i = 0; i < count; ++i)
      if (signals[i] == signal) sigaction(signal, &before[i], nullptr);
    raise(signal);
  }
};

inline bool has_control_character(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; });
}

/// Why a message is none to show; empty where it is fine.
inline std::string fault_of(const Reader& reader, std::string_view message) {
  if (message.find(reader.file) == message.npos) return "does not name " + reader.file;
  if (message.size() > reader.file.size() + reader.longest_message) return text("has ", message.size(), " characters");
  if (has_control_character(message)) return "has a control character";
  for (const char* word : {"outofmem", "nsufficient memory", "t allocate"})  // of the libraries for pictures, archives
    if (message.find(word) != message.npos) return "tells of too little memory";
  return "";
}

/// Which variant it was can be made again: GRADUS_SEED=S GRADUS_VARIANT=N.
inline void campaign(const Reader& reader) {
  static const uint64_t seed = number_of("GRADUS_SEED", 1), only = number_of("GRADUS_VARIANT", ~uint64_t{0});
  const uint64_t usual = number_of("GRADUS_VARIANTS", 3000);
  const auto count = static_cast<uint64_t>(static_cast<double>(usual) * reader.share);
  const uint64_t cuts = std::min<uint64_t>(reader.valid.size(), count / 4);  // of a small file all of them
  uint64_t read = 0, rejected = 0, failures = 0;
  const LastWords last_words;
  REQUIRE_NOTHROW_MESSAGE(reader.read(reader.valid), reader.name);
  for (uint64_t number = only == ~uint64_t{0} ? 0 : only; number < count && failures < 5; ++number) {
    std::string variant = number < cuts ? reader.valid.substr(0, number * reader.valid.size() / cuts)
                                        : Mutator(reader, seed, number).variant();
    if (reader.seal && number % 2 == 0) reader.seal(variant);
    const std::string which = text(reader.name, ", GRADUS_SEED=", seed, " GRADUS_VARIANT=", number, "\n");
    std::snprintf(LastWords::words, sizeof LastWords::words, "%s", which.c_str());
    INFO(which);
    std::string fault, message;
    try {
      const Limits limits(reader.memory);
      reader.read(variant);
      ++read;
    } catch (const Error& error) {
      message = error.what();
      fault = fault_of(reader, message);
      ++rejected;
    } catch (const std::exception& error) {
      message = error.what();
      fault = "is no gradus::Error";
    }
    if (!fault.empty()) {
      ++failures;
      FAIL_CHECK("the message ", fault, ": ", message.substr(0, 2000));
    }
    if (only != ~uint64_t{0}) return;
  }
  CHECK(rejected > 0);  // or the campaign has tested nothing
  MESSAGE(reader.name, ": ", read, " variants were read, ", rejected, " rejected");
}

}  // namespace gradus::mutation
