"""gradus.h draws in no outside library and stays small; its compile time is printed, not judged.

usage: umbrella.py ROOT COMPILER...
"""

import re
import subprocess
import sys
import time
from pathlib import Path

# <memory>, <functional>, <map>, <string>, <sstream> and <vector> of libstdc++ 12 make up 61,000 of these lines.
MOST_LINES = 70_000
MOST_OWN_LINES = 6_000
OUTSIDE = re.compile(r"eigen|dnnl|nlohmann|curl|archive\.h|archive_entry|stb_|/CLI/|cuda|cudnn|cublas|omp\.h|doctest", re.I)
# Standard headers that cost a user's every file a tenth of a second or more and that no declaration here needs.
HEAVY = {"algorithm", "chrono", "filesystem", "fstream", "future", "iostream", "random", "ranges", "regex", "thread"}


def main():
    root, compiler = Path(sys.argv[1]), sys.argv[2:]

    def compile_umbrella(*options):
        command = [*compiler, "-std=c++20", f"-I{root}", *options, "-x", "c++", str(root / "gradus.h")]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    # The rule that -M prints reads "target: file file ...".
    files = [Path(word) for word in compile_umbrella("-M").replace("\\\n", " ").split()[1:]]
    own = [file for file in files if file.is_relative_to(root)]
    others = [file for file in files if not file.is_relative_to(root)]
    own_lines = sum(file.read_text(encoding="utf-8").count("\n") for file in own)
    lines = compile_umbrella("-E", "-P").count("\n")
    start = time.monotonic()
    compile_umbrella("-fsyntax-only", "-w")
    print(f"gradus.h: {len(own)} headers of {own_lines} lines; {lines} lines with the standard library's; "
          f"compiles alone in {time.monotonic() - start:.2f} s")

    problems = [f"an outside library: {file}" for file in others if OUTSIDE.search(str(file))]
    problems += [f"a heavy standard header: <{file.name}>" for file in others if file.name in HEAVY]
    if own_lines > MOST_OWN_LINES:
        problems.append(f"more than {MOST_OWN_LINES} lines of our own")
    if lines > MOST_LINES:
        problems.append(f"more than {MOST_LINES} lines in all")
    print(*problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
