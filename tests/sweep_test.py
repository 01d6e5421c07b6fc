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
FAILS, DIES, HANGS, HITS, RECORDS = {fails}, {dies}, {hangs}, {hits}, {records}
WORLD = sys.argv[sys.argv.index("--world") + 1]
if "--families" in sys.argv:
    print("kill\\npower cut")
    sys.exit(0)
if "--least" in sys.argv:
    print("2 records read")
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
        operations = " --ops 300" if WORLD == "log" else ""
        print("walrus_sim --world %s --seed %d%s" % (WORLD, seed, operations))
        print("  a-rule: what was seen")
print("%-22s %12d" % ("seeds", seeds))
print("%-22s %12d" % ("records read", RECORDS * seeds))
print("%-22s %12d" % ("records read from 2", seeds))
print("hits per fault family\\n%-22s %12d" % ("  kill", HITS * seeds))
print("%-22s %12d" % ("  power cut", 50 * seeds))
print("trace 0123456789012345")
sys.exit(1 if FAILS else 0)
"""


def sweep(seeds, fails=(), dies=(), hangs=(), hits=1, hang_seconds=60, records=2,
          world="log"):
    with tempfile.TemporaryDirectory() as directory:
        fake = pathlib.Path(directory) / "walrus_sim"
        fake.write_text(FAKE.format(python=sys.executable, fails=fails, dies=dies, hangs=hangs,
                                    hits=hits, records=records))
        fake.chmod(0o755)
        command = [sys.executable, SWEEP, fake, "--world", world, "--seeds", str(seeds),
                   "--hang", str(hang_seconds)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        return run.returncode, re.sub(r" +", " ", run.stdout)


class SweepTest(unittest.TestCase):
    def test_adds_up_the_tables(self):
        status, output = sweep(45, hits=3)
        self.assertEqual(status, 0)
        self.assertIn("\nrecords read 90\n", "\n" + output)
        self.assertIn("\n kill 135\n", output)

    def test_adds_up_the_histogram(self):
        _, output = sweep(45)
        self.assertIn("\nseeds with records read from 2 45\n", output)

    def test_names_a_failing_seed_of_another_world(self):
        status, output = sweep(10, fails=[7], world="raft")
        self.assertEqual(status, 1)
        self.assertIn("walrus_sim --world raft --seed 7\n a-rule: what was seen\n", output)

    def test_fails_where_too_little_was_done_a_seed(self):
        self.assertEqual(sweep(500)[0], 0)
        status, output = sweep(500, records=1)
        self.assertEqual(status, 1)
        self.assertIn("1 records read a seed, fewer than 2", output)

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
