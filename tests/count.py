"""Counts what `meson test` ran, from its exit status and JSON logs, and prints `N passed, N failed[, N skipped]`.

A doctest program counts by its cases, any other test as one. A program that fails in another way than through a case (it
crashed, ran out of time, or found no case at all) is one failure more. Each failure is named above that line, with the
first lines that it printed, so that the end of a long log tells what happened. Exits 0 only where nothing failed.
"""

import json
import os
import re
import sys

CASES = re.compile(r"^\[doctest\] test cases: +\d+ \| +(\d+) passed \| +(\d+) failed", re.MULTILINE)
BETWEEN_CASES = re.compile(r"^=+$", re.MULTILINE)
FAILED_CASE = re.compile(r"^TEST CASE: +([^\n]*)(.*ERROR.*)", re.MULTILINE | re.DOTALL)


def count(test):
    """(passed, failed, skipped) of one entry of Meson's log."""
    if test["result"] == "SKIP":
        return 0, 0, 1
    good = test["result"] in ("OK", "EXPECTEDFAIL")
    cases = CASES.search(test.get("stdout", ""))
    if not cases:
        return int(good), int(not good), 0
    passed, failed = int(cases[1]), int(cases[2])
    return passed, max(failed, int(not good)), 0


def failures(test):
    """The lines that name what failed of one entry of Meson's log."""
    if not count(test)[1]:
        return []
    output = test.get("stdout", "")
    cases = [FAILED_CASE.search(part).groups() for part in BETWEEN_CASES.split(output) if FAILED_CASE.search(part)]
    lines = []
    for case, text in cases or [(test["result"].lower(), test.get("stderr", "") or output)]:
        lines.append(f"failed: {test.get('name', 'a test')}: {case}")
        lines += ["  " + line for line in text.splitlines() if line.strip()][:8]
    return lines


def main():
    status = int(sys.argv[1])
    totals = [0, 0, 0]
    for name in sys.argv[2:]:
        if not os.path.exists(name):
            continue
        with open(name, encoding="utf-8") as log:
            for test in map(json.loads, log):
                totals = [total + n for total, n in zip(totals, count(test))]
                for line in failures(test):
                    print(line)
    passed, failed, skipped = totals
    if status != 0 and failed == 0:
        failed = 1  # Meson itself failed: an unknown suite, an interrupted run.
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
