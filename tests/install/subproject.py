"""A project that names gradus as a Meson subproject configures, finds the dependency, and compiles against its headers.

usage: subproject.py ROOT
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = """
project('user', 'cpp', default_options: ['cpp_std=c++20'])
executable('user', 'user.cpp', dependencies: dependency('gradus', fallback: 'gradus'))
"""
PROGRAM = "#include <gradus.h>\nint main() { return gradus::Tensor::zeros({2, 3}).rank() == 2 ? 0 : 1; }\n"


def main():
    root = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as scratch:
        user = Path(scratch)
        (user / "meson.build").write_text(PROJECT, encoding="utf-8")
        (user / "user.cpp").write_text(PROGRAM, encoding="utf-8")
        (user / "subprojects").mkdir()
        (user / "subprojects" / "gradus").symlink_to(root)
        # An installed gradus of the machine must not answer in the subproject's place.
        environment = {**os.environ, "PKG_CONFIG_PATH": ""}
        setup = ["meson", "setup", "build", "--force-fallback-for=gradus", "--wrap-mode=nodownload"]
        subprocess.run(setup, check=True, cwd=user, env=environment)
        targets = json.loads(
            subprocess.run(["meson", "introspect", "--targets", "build"], check=True, cwd=user, capture_output=True).stdout
        )
        names = {target["name"] for target in targets}
        if "gradus" not in names or any("tests" in name for name in names):
            sys.exit(f"the subproject should bring the library and no tests, but brings {sorted(names)}")
        subprocess.run(["ninja", "-C", "build", "user.p/user.cpp.o"], check=True, cwd=user)


if __name__ == "__main__":
    main()
