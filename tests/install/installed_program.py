"""Installs the built library into a fresh folder, builds one program against it as a user would, and runs it.

usage: installed_program.py ROOT BUILD PROGRAM.cpp

A program under docs/examples must be at most 60 lines and stand word for word in the page of docs/ that explains it.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

LONGEST_EXAMPLE = 60


def run(*command, **options):
    print("$", shlex.join(map(str, command)), flush=True)
    return subprocess.run(command, check=True, text=True, **options)


def install(build, folder):
    """Installs under `folder` and returns an environment in which pkg-config and the loader find it."""
    run("meson", "install", "-C", build, "--no-rebuild", "--quiet", "--tags", "devel,runtime", "--destdir", folder)
    (description,) = folder.rglob("gradus.pc")
    environment = dict(os.environ)
    environment["PKG_CONFIG_PATH"] = str(description.parent)
    environment["PKG_CONFIG_SYSROOT_DIR"] = str(folder)
    environment["LD_LIBRARY_PATH"] = str(description.parent.parent)
    return environment


def check_page(root, program):
    text = program.read_text(encoding="utf-8")
    lines = text.count("\n")
    if lines > LONGEST_EXAMPLE:
        sys.exit(f"{program.name}: {lines} lines, but an example has at most {LONGEST_EXAMPLE}")
    page = root / "docs" / (program.stem.replace("_", "-") + ".md")
    if f"```cpp\n{text}```" not in page.read_text(encoding="utf-8"):
        sys.exit(f"{page.name} does not show {program.name} as it is")


def main():
    root, build, program = map(Path, sys.argv[1:])
    if program.is_relative_to(root / "docs"):
        check_page(root, program)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        environment = install(build, folder)
        flags = run("pkg-config", "--cflags", "--libs", "gradus", env=environment, stdout=subprocess.PIPE).stdout.split()
        binary = folder / program.stem
        compiler = shlex.split(os.environ.get("CXX", "c++"))
        run(*compiler, "-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", program, "-o", binary, *flags, env=environment)
        # Away from the source folder, so that nothing is found there by chance.
        run(binary, env=environment, cwd=folder)


if __name__ == "__main__":
    main()
