#!/usr/bin/env python3
"""tools/dev/sim_sweep.py adds up tables, names failing, dying and hanging seeds, and fails where a
fault family was hit too seldom."""

import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

SWEEP = pathlib.Path(__file__).resolve().parent.parent / "tools/dev/sim_sweep.py"
# A simulator whose seeds do what FAILS, DIES and HANGS say; each hits `kill` so many times.
FAKE = """#!{python}
import os, sys, time
FAILS, DIES, HANGS, HITS = {fails}, {dies}, {hangs}, {hits}
if "--families" in sys.argv:
    print("kill")
    sys.exit(0)
value = lambda name: int(sys.argv[sys.argv.index(name) + 1])
first, seeds = value("--first"), value("--seeds")
for seed in range(first, first + seeds):
    print(">", seed, flush=True)
    if seed in HANGS:
        time.sleep(600)
    if seed in DIES:
        print("walrus: broken invariant", file=sys.stderr, flush=True)
        os.abort()
    if seed in FAILS:
        print("walrus_sim --world log --seed %d --ops 300\\n  a-rule: what was seen" % seed)
print("%-22s %12d" % ("seeds", seeds))
print("%-22s %12d" % ("records read", 2 * seeds))
print("hits per fault family\\n%-22s %12d" % ("  kill", HITS * seeds))
print("trace 0123456789012345")
sys.exit(1 if FAILS else 0)
"""


def sweep(seeds, fails=(), dies=(), hangs=(), hits=1, hang_seconds=60):
    with tempfile.TemporaryDirectory() as directory:
        fake = pathlib.Path(directory) / "walrus_sim"
        fake.write_text(FAKE.format(python=sys.executable, fails=fails, dies=dies, hangs=hangs,
                                    hits=hits))
        fake.chmod(0o755)
        run = subprocess.run([sys.executable, SWEEP, fake, "--seeds", str(seeds), "--hang",
                              str(hang_seconds)], capture_output=True, text=True, check=False)
        return run.returncode, re.sub(r" +", " ", run.stdout)


class SweepTest(unittest.TestCase):
    def test_adds_up_the_tables(self):
        status, output = sweep(45, hits=3)
        self.assertEqual(status, 0)
        self.assertIn("\nrecords read 90\n", "\n" + output)
        self.assertIn("\n kill 135\n", output)

    def test_names_a_failing_seed_and_its_rule(self):
        status, output = sweep(10, fails=[7])
        self.assertEqual(status, 1)
        self.assertIn("walrus_sim --world log --seed 7\n a-rule: what was seen\n", output)

    def test_a_dying_seed_is_named_and_the_rest_go_on(self):
        status, output = sweep(10, dies=[4], fails=[8])
        self.assertEqual(status, 1)
        self.assertIn("--seed 4\n ends with status -6: walrus: broken invariant\n", output)
        self.assertIn("--seed 8\n a-rule", output)

    def test_a_hanging_seed_is_named(self):
        status, output = sweep(3, hangs=[2], hang_seconds=10)
        self.assertEqual(status, 1)
        self.assertIn("--seed 2\n hangs\n", output)

    def test_a_family_that_was_hardly_hit_fails_a_long_sweep(self):
        status, output = sweep(600, hits=0)
        self.assertEqual(status, 1)
        self.assertIn("kill 0 fewer than 50", output)

    def test_no_seeds_are_no_success(self):
        self.assertEqual(sweep(0)[0], 1)


if __name__ == "__main__":
    unittest.main()
