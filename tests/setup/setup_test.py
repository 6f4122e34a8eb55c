"""apps/setup.sh on systems of several kinds, played by commands of our own in a PATH of our own."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(os.environ["GRADUS_SOURCE_ROOT"])
# One requirement that no system meets, and one that every system does.
TABLE = "gradus-test-dev gradus_test_is_missing.h\nsh sh"


class SetupTest(unittest.TestCase):
    def install(self, **commands):
        """Runs install_missing on TABLE where only these commands exist besides bash; returns (calls, stderr)."""
        with tempfile.TemporaryDirectory() as folder:
            calls = Path(folder) / "calls"
            calls.touch()
            for name in ("bash", "sh", "env"):
                os.symlink(f"/bin/{name}", f"{folder}/{name}")
            for name, body in commands.items():
                script = Path(folder) / name.replace("_", "-")
                script.write_text(f'#!/bin/bash\necho "{script.name} $*" >>{calls}\n{body}\n', encoding="utf-8")
                script.chmod(0o755)
            result = subprocess.run(
                ["/bin/bash", "-c", f"root={ROOT}; . {ROOT}/apps/setup.sh; install_missing '{TABLE}'"],
                env={"PATH": folder}, capture_output=True, text=True,
            )
            self.assertEqual(result.stdout, "", "standard output belongs to the app")
            self.assertEqual(result.returncode, 0, result.stderr)
            return calls.read_text(encoding="utf-8").splitlines(), result.stderr

    def test_without_apt_get_what_is_missing_is_named(self):
        calls, said = self.install(id="echo 0")
        self.assertEqual(calls, ["id -u"])
        self.assertIn("gradus-test-dev", said)
        self.assertIn("no apt-get", said)
        self.assertEqual(said.count("\n"), 1, said)

    def test_root_installs_only_what_is_missing_and_says_so(self):
        calls, said = self.install(id="echo 0", apt_get="exit 0")
        self.assertIn("installing with apt-get: gradus-test-dev", said)
        self.assertEqual([call.split()[-1] for call in calls if "install" in call], ["gradus-test-dev"] * 2)
        self.assertFalse([call for call in calls if call.endswith("update")], "the lists were good enough")

    def test_lists_that_do_not_know_a_package_are_updated_first(self):
        calls, _ = self.install(id="echo 0", apt_get='case $* in *--simulate*) exit 100;; esac')
        order = [call.split()[-1] for call in calls if "apt-get" in call]
        self.assertEqual(order, ["gradus-test-dev", "update", "gradus-test-dev"])

    def test_others_than_root_install_with_sudo(self):
        calls, _ = self.install(id="echo 1000", apt_get="exit 0", sudo='[ "$1" = -n ] && shift; exec "$@"')
        self.assertTrue([call for call in calls if call.startswith("sudo -n env DEBIAN_FRONTEND=noninteractive apt-get")])

    def test_without_root_and_sudo_what_is_missing_is_named(self):
        calls, said = self.install(id="echo 1000", apt_get="exit 0")
        self.assertEqual(calls, ["id -u"])
        self.assertIn("root or sudo: gradus-test-dev", said)

    def test_a_failed_installation_is_told_and_not_the_end(self):
        _, said = self.install(id="echo 0", apt_get="exit 100")
        self.assertIn("could not install all of it: gradus-test-dev", said)


class RunTest(unittest.TestCase):
    def run_app(self, *arguments):
        return subprocess.run([ROOT / "apps" / "run", *arguments], capture_output=True, text=True)

    def test_an_unknown_app_is_one_line_and_exit_2(self):
        result = self.run_app("no_such_app")
        self.assertEqual((result.returncode, result.stdout, result.stderr.count("\n")), (2, "", 1))

    def test_alone_it_lists_the_apps(self):
        result = self.run_app()
        self.assertEqual(result.returncode, 0)
        self.assertIn("\n  reproduce ", result.stdout)


if __name__ == "__main__":
    unittest.main()
