// The main function of every doctest executable. A filter that matches no test case is an error: a renamed file or a
// mistyped name must not look like success. Without the device that the library was built for nothing runs: that is a
// skipped test.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <iostream>

#include "core/error.h"
#include "core/tensor.h"

namespace {

constexpr int skipped = 77;  // to Meson

bool device_is_there() {
  try {
    gradus::Tensor::zeros({1});
    return true;
  } catch (const gradus::Error& error) {
    if (error.kind() != gradus::ErrorKind::device) throw;
    std::cerr << "skipped: " << error.what() << '\n';
    return false;
  }
}

unsigned cases_run = 0;

struct CountCases : doctest::IReporter {
  explicit CountCases(const doctest::ContextOptions&) {}
  void test_case_start(const doctest::TestCaseData&) override { ++cases_run; }
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};

}  // namespace

DOCTEST_REGISTER_LISTENER("count cases", 1, CountCases);

int main(int argc, char** argv) {
  if (!device_is_there()) return skipped;
  doctest::Context context(argc, argv);
  const int result = context.run();
  if (context.shouldExit()) return result;
  if (cases_run == 0) {
    std::cerr << "no test case matches the filters\n";
    return 1;
  }
  return result;
}
