"""Installs the built library into a fresh folder, builds one program against it as a user would, and runs it.

usage: installed_program.py ROOT BUILD SOURCE

SOURCE is a .cpp file, or a page whose first C++ block is a program. One under docs/examples has at most 60 lines, and a
page of docs/ that links to it.
"""

import os
import re
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


def check_example(root, source):
    lines = source.read_text(encoding="utf-8").count("\n")
    if lines > LONGEST_EXAMPLE:
        sys.exit(f"{source.name}: {lines} lines, but an example has at most {LONGEST_EXAMPLE}")
    page = root / "docs" / (source.stem.replace("_", "-") + ".md")
    if f"(examples/{source.name})" not in page.read_text(encoding="utf-8"):
        sys.exit(f"{page.name} does not link to {source.name}")


def program_of(source, folder):
    """The program's own file: `source`, or the first C++ block of a page written to `folder`."""
    if source.suffix == ".cpp":
        return source
    block = re.search(r"^```cpp\n(.*?)^```$", source.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    program = folder / (source.stem + ".cpp")
    program.write_text(block[1], encoding="utf-8")
    return program


def main():
    root, build, source = map(Path, sys.argv[1:])
    if source.is_relative_to(root / "docs"):
        check_example(root, source)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        environment = install(build, folder)
        program = program_of(source, folder)
        binary = folder / "program"
        flags = run("pkg-config", "--cflags", "--libs", "gradus", env=environment, stdout=subprocess.PIPE).stdout.split()
        compiler = shlex.split(os.environ.get("CXX", "c++"))
        run(*compiler, "-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", program, "-o", binary, *flags, env=environment)
        # Away from the source folder, so that nothing is found there by chance.
        run(binary, env=environment, cwd=folder)


if __name__ == "__main__":
    main()
