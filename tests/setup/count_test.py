"""The last line of tests/run counts cases, and no failure is lost however a program ends."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

COUNT = Path(os.environ["GRADUS_SOURCE_ROOT"]) / "tests" / "count.py"


def doctest(passed, failed):
    return f"[doctest] test cases: {passed + failed} | {passed} passed | {failed} failed | 3 skipped\n"


class CountTest(unittest.TestCase):
    def count(self, *tests, status=0):
        """(exit status, last line printed) for a log of (result, output) pairs."""
        status, lines = self.report(*tests, status=status)
        return status, lines[-1]

    def report(self, *tests, status=0):
        """(exit status, lines printed) for a log of (result, output) pairs."""
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "testlog.json"
            log.write_text(
                "".join(
                    json.dumps({"name": "a_test", "result": result, "stdout": output}) + "\n" for result, output in tests
                ),
                encoding="utf-8",
            )
            run = subprocess.run([sys.executable, COUNT, str(status), log], capture_output=True, text=True)
            return run.returncode, run.stdout.strip().splitlines()

    def test_cases_and_other_tests_add_up(self):
        self.assertEqual(self.count(("OK", doctest(5, 0)), ("OK", doctest(2, 0)), ("OK", "")), (0, "8 passed, 0 failed"))

    def test_failed_cases_fail_the_run(self):
        self.assertEqual(self.count(("FAIL", doctest(4, 2)), ("OK", ""), status=1), (1, "5 passed, 2 failed"))

    def test_a_program_that_crashed_after_its_cases_is_a_failure(self):
        self.assertEqual(self.count(("FAIL", doctest(4, 0)), status=1), (1, "4 passed, 1 failed"))

    def test_a_program_that_ran_out_of_time_is_a_failure(self):
        self.assertEqual(self.count(("TIMEOUT", ""), status=1), (1, "0 passed, 1 failed"))

    def test_failures_are_named_above_the_count(self):
        line = "=" * 79 + "\n"
        skipped = line + "a.cpp:3:\nTEST CASE:  is skipped\n\na.cpp:4: MESSAGE: skipped\n\n"
        wrong = line + "a.cpp:5:\nTEST CASE:  is wrong\n\na.cpp:6: ERROR: CHECK( 1 == 2 ) is NOT correct!\n\n"
        output = skipped + wrong + line + doctest(3, 1)
        expected = [
            "failed: a_test: is wrong",
            "  a.cpp:6: ERROR: CHECK( 1 == 2 ) is NOT correct!",
            "failed: a_test: timeout",
            "  some words",
            "4 passed, 2 failed",
        ]
        self.assertEqual(self.report(("FAIL", output), ("TIMEOUT", "some words"), ("OK", ""), status=1), (1, expected))

    def test_what_was_skipped_is_counted_apart_and_by_its_reason(self):
        line = "=" * 79 + "\n"
        one = line + "a.cpp:3:\nTEST CASE:  one\n\na.cpp:4: MESSAGE: skipped: no tar\n\n"
        again = line + "a.cpp:3:\nTEST CASE:  one\n  a subcase\n\na.cpp:4: MESSAGE: skipped: no tar\n\n"
        two = line + "a.cpp:7:\nTEST CASE:  two\n\na.cpp:8: MESSAGE: skipped: no tar\n\n"
        wrong = line + "a.cpp:9:\nTEST CASE:  wrong\n\na.cpp:10: MESSAGE: skipped: no tar\n\na.cpp:11: ERROR: no\n\n"
        talks = line + "a.cpp:12:\nTEST CASE:  talks\n\na.cpp:13: MESSAGE: 3 steps skipped\n\n"
        output = one + again + two + wrong + talks + line + doctest(4, 1)
        expected = ["failed: a_test: wrong", "  a.cpp:10: MESSAGE: skipped: no tar", "  a.cpp:11: ERROR: no"]
        expected += ["skipped: 1: a_test", "skipped: 2: no tar", "3 passed, 1 failed"]
        self.assertEqual(self.report(("SKIP", ""), ("FAIL", output), ("OK", ""), status=1), (1, expected))

    def test_a_failure_of_meson_itself_is_a_failure(self):
        self.assertEqual(self.count(status=1), (1, "0 passed, 1 failed"))


if __name__ == "__main__":
    unittest.main()
