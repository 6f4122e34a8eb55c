"""Counts what `meson test` ran, from its exit status and JSON logs, and prints `N passed, N failed` as its last line.

A doctest program counts by its cases, any other test as one. A program that fails in another way than through a case (it
crashed, ran out of time, or found no case at all) is one failure more. What did not run, or not all of it, for want of
something on this machine is neither: it is counted above that line, by what it said is missing. Each failure is named there
too, with the first lines that it printed, so that the end of a long log tells what happened. Exits 0 only where nothing
failed.
"""

import json
import os
import re
import sys
from collections import Counter

CASES = re.compile(r"^\[doctest\] test cases: +\d+ \| +(\d+) passed \| +(\d+) failed", re.MULTILINE)
BETWEEN_CASES = re.compile(r"^=+$", re.MULTILINE)
FAILED_CASE = re.compile(r"^TEST CASE: +([^\n]*)(.*ERROR.*)", re.MULTILINE | re.DOTALL)
SKIPPED_CASE = re.compile(r"^TEST CASE: +([^\n]*).* MESSAGE: skipped: ([^\n]*)", re.MULTILINE | re.DOTALL)


def skips(test):
    """Why, for each test or case of one entry of Meson's log that says it was skipped."""
    if test["result"] == "SKIP":
        return [test.get("name", "a test")]
    parts = [part for part in BETWEEN_CASES.split(test.get("stdout", "")) if not FAILED_CASE.search(part)]
    found = [match.groups() for match in map(SKIPPED_CASE.search, parts) if match]
    return list(dict(found).values())  # a case of several subcases is one


def count(test):
    """(passed, failed) of one entry of Meson's log."""
    if test["result"] == "SKIP":
        return 0, 0
    good = test["result"] in ("OK", "EXPECTEDFAIL")
    cases = CASES.search(test.get("stdout", ""))
    if not cases:
        return int(good), int(not good)
    passed, failed = int(cases[1]) - len(skips(test)), int(cases[2])
    return passed, max(failed, int(not good))


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
    totals = [0, 0]
    skipped = Counter()
    for name in sys.argv[2:]:
        if not os.path.exists(name):
            continue
        with open(name, encoding="utf-8") as log:
            for test in map(json.loads, log):
                totals = [total + n for total, n in zip(totals, count(test))]
                skipped.update(skips(test))
                for line in failures(test):
                    print(line)
    passed, failed = totals
    if status != 0 and failed == 0:
        failed = 1  # Meson itself failed: an unknown suite, an interrupted run.
    for reason, times in sorted(skipped.items()):
        print(f"skipped: {times}: {reason}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
