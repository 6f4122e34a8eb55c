"""Checks the order of the house by reading #include lines, as docs/architecture.md draws it.

usage: check.py ROOT [PUBLIC_HEADER...]    prints one line per violation and exits 1 if there is any.
"""

import re
import sys
from pathlib import Path

# What each directory may include, besides itself and the standard library.
ORDER = {
    "core": set(),
    "autograd": {"core"},
    "layers": {"autograd", "core"},
    "models": {"layers", "autograd", "core"},
    "optim": {"autograd", "core"},
    "data": {"core"},
    "apps": {"core", "autograd", "layers", "models", "optim", "data"},
}
KERNEL_FOLDERS = ("core/ref/", "core/cpu/", "core/cuda/")
KERNELS = KERNEL_FOLDERS + ("core/kernels.h", "core/kernels.inc")
SOURCES = {".h", ".cpp", ".cu", ".cuh", ".inc"}
LONGEST = 600
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def sources(root):
    for top in [*ORDER, "tests", "docs"]:
        for path in sorted((root / top).rglob("*")):
            if path.suffix in SOURCES:
                yield path.relative_to(root).as_posix()


def check_include(root, name, bracket, target, public):
    """Says what is wrong with one #include of file `name`, if anything."""
    if bracket == "<":
        if name in public and ("." in target or "/" in target):
            return f"<{target}> in a public header: only the standard library may appear there"
        return None
    if not (root / target).is_file() and not (root / (target + ".in")).is_file():  # which Meson makes a header of
        return f'"{target}" is not a path from the root'
    top, target_top = name.split("/")[0], target.split("/")[0]
    if top not in ORDER:  # tests and examples may look anywhere, gradus.h is the sum of all
        return None
    if target_top != top and target_top not in ORDER[top]:
        return f'"{target}": {top} must not know {target_top}'
    if top != "core" and target.startswith(KERNELS):
        return f'"{target}": raw kernels stay inside core; use an operation of core/ops.h'
    if top == "core" and not name.startswith(KERNEL_FOLDERS) and target.startswith(KERNEL_FOLDERS):
        return f'"{target}": kernels are reached through the seam, core/kernels.h'
    if name in public and target not in public:
        return f'"{target}": a public header includes a private one, which is not installed'
    return None


def is_listed(path):
    """Whether the meson.build beside a file names it."""
    build = path.with_name("meson.build")
    return build.is_file() and f"'{path.name}'" in build.read_text(encoding="utf-8")


def violations(root, public):
    for name in [*sources(root), "gradus.h"]:
        text = (root / name).read_text(encoding="utf-8")
        lines = text.count("\n")
        if lines > LONGEST:
            yield f"{name}: {lines} lines: past {LONGEST} a file is about two things"
        # A source beside its header, and a test of a source, are introduced by that file.
        introduced = name.endswith("_test.cpp") or (name.endswith((".cpp", ".cu")) and (root / name).with_suffix(".h").is_file())
        if not text.startswith("//") and not introduced:
            yield f"{name}: does not open with a comment on what it is for"
        if name.startswith("tests/") and name.endswith("_test.cpp") and not is_listed(root / name):
            yield f"{name}: the meson.build beside it does not list it, so it never runs"
        if name.endswith(".h") and "#pragma once" not in text:
            yield f"{name}: lacks #pragma once"
        for bracket, target in INCLUDE.findall(text):
            problem = check_include(root, name, bracket, target, public)
            if problem:
                yield f"{name}: includes {problem}"


def main():
    root = Path(sys.argv[1]).resolve()
    public = {Path(header).resolve().relative_to(root).as_posix() for header in sys.argv[2:]}
    found = list(violations(root, public))
    print("\n".join(found) or "in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
