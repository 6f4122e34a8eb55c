#include "apps/common/command_line.h"

#include <errno.h>

#include <charconv>
#include <cmath>
#include <cstdio>
#include <new>

#include "apps/common/interrupt.h"
#include "apps/common/record.h"
#include "apps/common/resume.h"
#include "core/error.h"

namespace gradus::apps {
namespace {

std::string on_one_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  for (char& c : text)
    if (c == '\n') c = ' ';
  return text;
}

bool parse_number(const std::string& text, double& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(value);
}

CLI::Validator number_check(const std::string& range, const std::function<bool(double)>& good) {
  return {[range, good](std::string& text) {
            double value = 0;
            return parse_number(text, value) && good(value) ? "" : text + " is not a number " + range;
          },
          ""};
}

}  // namespace

int run(CLI::App& app, int argc, char** argv, const std::function<int()>& work) {
  exit_on_interrupts();
  const auto failed = [](int code, const std::string& line) {
    note(line);
    return code;
  };
  try {
    app.parse(argc, argv);
    if (const CLI::Option* resume = app.get_option_no_throw("--resume"); resume && resume->count() > 0)
      take_flags_from(resume->results().back(), app);
    return work();
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    return failed(2, std::string(error.what()) + " (--help lists the flags)");
  } catch (const UsageError& error) {
    return failed(2, error.what());
  } catch (const std::bad_alloc&) {
    return failed(1, "not enough memory");
  } catch (const std::exception& error) {
    return failed(1, error.what());
  }
}

void print_line(const std::string& line) {
  if (std::fprintf(stdout, "%s\n", line.c_str()) < 0 || std::fflush(stdout) != 0) {
    fail(ErrorKind::io, "standard output", "cannot write: ", std::generic_category().message(errno));
  }
}

void note(const std::string& line) {
  std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, on_one_line(line).c_str());
}

CLI::Validator at_least(double low) {
  return number_check("of at least " + exact(low), [low](double value) { return value >= low; });
}

CLI::Validator above(double low) {
  return number_check("above " + exact(low), [low](double value) { return value > low; });
}

CLI::Validator within(double low, double high) {
  return number_check("from " + exact(low) + " to below " + exact(high),
                      [low, high](double value) { return value >= low && value < high; });
}

std::vector<int64_t> parse_epoch_list(const std::string& text) {
  std::vector<int64_t> epochs;
  if (text == "none") return epochs;
  const char *at = text.data(), *end = at + text.size();
  while (true) {
    int64_t epoch = 0;
    const auto [next, error] = std::from_chars(at, end, epoch);
    if (error != std::errc() || epoch <= (epochs.empty() ? 0 : epochs.back()) || (next != end && *next != ',')) {
      throw UsageError("'" + text + "' is not a list of ascending epochs such as 80 or 80,120, and not 'none'");
    }
    epochs.push_back(epoch);
    if (next == end) return epochs;
    at = next + 1;
  }
}

CLI::Validator epoch_list() {
  return {[](std::string& text) {
            try {
              parse_epoch_list(text);
            } catch (const UsageError& error) {
              return std::string(error.what());
            }
            return std::string();
          },
          ""};
}

}  // namespace gradus::apps
