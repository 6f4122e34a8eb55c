"""The layering check finds each kind of violation, and nothing in a tree that is in order."""

import tempfile
import unittest
from pathlib import Path

import check

ORDERLY = {
    "gradus.h": '// All.\n#pragma once\n#include "core/tensor.h"\n',
    "core/tensor.h": "// A tensor.\n#pragma once\n#include <vector>\n",
    "core/kernels.h": '// The seam.\n#pragma once\n#include "core/tensor.h"\n',
    "core/ops.cpp": '// Operations.\n#include "core/kernels.h"\n',
    "core/cpu/matmul.cpp": '// A kernel.\n#include <dnnl.hpp>\n#include "core/cpu/onednn.h"\n',
    "core/cpu/onednn.h": "// oneDNN.\n#pragma once\n",
    "layers/module.h": '// A module.\n#pragma once\n#include "core/tensor.h"\n',
    "optim/sgd.cpp": '// A rule.\n#include "core/tensor.h"\n',
}
PUBLIC = {"gradus.h", "core/tensor.h", "core/kernels.h", "layers/module.h"}


class CheckTest(unittest.TestCase):
    def found(self, changes):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for name, text in {**ORDERLY, **changes}.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text, encoding="utf-8")
            return list(check.violations(root, PUBLIC))

    def expect(self, changes, words):
        found = self.found(changes)
        self.assertEqual(len(found), 1, found)
        self.assertIn(words, found[0])

    def test_an_orderly_tree_passes(self):
        self.assertEqual(self.found({}), [])

    def test_optim_must_not_include_layers(self):
        self.expect({"optim/sgd.cpp": '// A rule.\n#include "layers/module.h"\n'}, "optim must not know layers")

    def test_core_must_not_include_autograd(self):
        self.expect(
            {"autograd/tape.h": "// T.\n#pragma once\n", "core/ops.cpp": '// O.\n#include "autograd/tape.h"\n'},
            "core must not know autograd",
        )

    def test_kernels_stay_inside_core(self):
        self.expect({"optim/sgd.cpp": '// A rule.\n#include "core/kernels.h"\n'}, "raw kernels stay inside core")

    def test_operations_go_through_the_seam(self):
        self.expect({"core/ops.cpp": '// O.\n#include "core/cpu/onednn.h"\n'}, "through the seam")

    def test_public_headers_name_no_outside_library(self):
        self.expect({"core/tensor.h": "// T.\n#pragma once\n#include <Eigen/Core>\n"}, "only the standard library")

    def test_public_headers_include_public_headers(self):
        self.expect(
            {"core/detail.h": "// D.\n#pragma once\n", "core/tensor.h": '// T.\n#pragma once\n#include "core/detail.h"\n'},
            "a public header includes a private one",
        )

    def test_includes_are_written_from_the_root(self):
        self.expect({"core/ops.cpp": '// O.\n#include "tensor.h"\n'}, "is not a path from the root")

    def test_long_files_are_named(self):
        self.expect({"core/ops.cpp": "// O.\n" * 601}, "601 lines")

    def test_files_open_with_a_comment(self):
        self.expect({"core/ops.cpp": '#include "core/tensor.h"\n'}, "does not open with a comment")

    def test_files_of_tests_are_built(self):
        test = {"tests/optim/sgd_test.cpp": "// T.\n", "tests/optim/meson.build": "optim_tests = files('sgd_test.cpp')\n"}
        self.assertEqual(self.found(test), [])
        self.expect({**test, "tests/optim/adam_test.cpp": "// T.\n"}, "tests/optim/adam_test.cpp: the meson.build")


if __name__ == "__main__":
    unittest.main()
