#!/usr/bin/env python3
"""tools/dev/tally.py counts what ctest and the scripts report, and lets no skip pass unnoticed."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

TALLY = pathlib.Path(__file__).resolve().parent.parent / "tools/dev/tally.py"
PASSED = '<testcase name="a" status="run"></testcase>'
FAILED = '<testcase name="b" status="fail"><failure message=""/></testcase>'
SKIPPED = ('<testcase name="c" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/>'
           "<system-out>begin\nSKIP no loop device\n</system-out></testcase>")

HERE, NEVER = ("not root", "root") if os.geteuid() else ("root", "not root")


def tally(cases, lines="", allowed=""):
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        (root / "run").mkdir()
        (root / "run" / "unit.xml").write_text(f"<testsuite>{''.join(cases)}</testsuite>")
        if lines:
            (root / "run" / "lines").write_text(lines)
        (root / "allowed").write_text(allowed)
        run = subprocess.run([sys.executable, TALLY, root / "run", root / "allowed"],
                             capture_output=True, text=True, check=False)
        return run.returncode, run.stdout.splitlines()


class TallyTest(unittest.TestCase):
    def test_sums_files_and_lines(self):
        status, output = tally([PASSED, PASSED], "passed fuzz.frame\n")
        self.assertEqual((status, output[-1]), (0, "3 passed, 0 failed, 0 skipped"))

    def test_names_each_failure(self):
        status, output = tally([PASSED, FAILED])
        self.assertEqual((status, output), (1, ["FAILED b", "1 passed, 1 failed, 0 skipped"]))

    def test_an_allowed_skip_is_reported_with_its_reason(self):
        status, output = tally([PASSED, SKIPPED], allowed=f"# why\nc: {NEVER}, {HERE}\n")
        self.assertEqual((status, output), (0, ["SKIP c: no loop device",
                                                "1 passed, 0 failed, 1 skipped"]))

    def test_a_skip_that_is_not_listed_fails(self):
        status, output = tally([PASSED, SKIPPED], allowed=f"d: {HERE}\n")
        self.assertEqual((status, output[-1]), (1, "1 passed, 1 failed, 0 skipped"))

    def test_a_skip_whose_condition_does_not_hold_fails(self):
        status, output = tally([PASSED, SKIPPED], allowed=f"c: {NEVER}\n")
        self.assertEqual((status, output[-1]), (1, "1 passed, 1 failed, 0 skipped"))

    def test_an_unknown_condition_fails(self):
        status, _ = tally([PASSED], allowed="c: mostly\n")
        self.assertEqual(status, 1)

    def test_nothing_run_fails(self):
        status, output = tally([])
        self.assertEqual((status, output[-1]), (1, "0 passed, 0 failed, 0 skipped"))


if __name__ == "__main__":
    unittest.main()
