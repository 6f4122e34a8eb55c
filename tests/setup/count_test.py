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
        """(exit status, line printed) for a log of (result, output) pairs."""
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "testlog.json"
            log.write_text(
                "".join(json.dumps({"result": result, "stdout": output}) + "\n" for result, output in tests),
                encoding="utf-8",
            )
            run = subprocess.run([sys.executable, COUNT, str(status), log], capture_output=True, text=True)
            return run.returncode, run.stdout.strip()

    def test_cases_and_other_tests_add_up(self):
        self.assertEqual(self.count(("OK", doctest(5, 0)), ("OK", doctest(2, 0)), ("OK", "")), (0, "8 passed, 0 failed"))

    def test_failed_cases_fail_the_run(self):
        self.assertEqual(self.count(("FAIL", doctest(4, 2)), ("OK", ""), status=1), (1, "5 passed, 2 failed"))

    def test_a_program_that_crashed_after_its_cases_is_a_failure(self):
        self.assertEqual(self.count(("FAIL", doctest(4, 0)), status=1), (1, "4 passed, 1 failed"))

    def test_a_program_that_ran_out_of_time_is_a_failure(self):
        self.assertEqual(self.count(("TIMEOUT", ""), status=1), (1, "0 passed, 1 failed"))

    def test_skipped_tests_are_counted_apart(self):
        self.assertEqual(self.count(("SKIP", ""), ("OK", "")), (0, "1 passed, 0 failed, 1 skipped"))

    def test_a_failure_of_meson_itself_is_a_failure(self):
        self.assertEqual(self.count(status=1), (1, "0 passed, 1 failed"))


if __name__ == "__main__":
    unittest.main()
