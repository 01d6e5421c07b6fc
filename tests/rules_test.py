#!/usr/bin/env python3
"""docs/rules.md names every rule once, and only tests and mutants that exist; docs/mutants.md has a
row for every mutant."""
import json
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "rules.md").read_text()
ROWS = [[field.strip() for field in line.split("|")[1:-1]]
        for line in PAGE.splitlines() if re.match(r"\| R\d+ \|", line)]


class Rules(unittest.TestCase):
    def test_every_rule_has_one_row(self):
        self.assertEqual(sorted(int(row[0][1:]) for row in ROWS), list(range(1, 44)))

    def test_tests_exist(self):
        known = set()
        for room in ("replica", "meta", "raft", "broker"):
            for file in (ROOT / "src" / room).glob("*_test.cc"):
                known |= {".".join(name) for name in
                          re.findall(r"^TEST(?:_F)?\((\w+), (\w+)\)", file.read_text(), re.M)}
        named = {name for row in ROWS if len(row) == 5
                 for name in re.findall(r"`([^`]+)`", row[3])}
        self.assertGreater(len(named), 15)
        self.assertEqual(named - known, set())

    def test_mutants_exist(self):
        known = set()
        for world in ("cluster", "meta", "raft", "replica", "owners"):
            file = ROOT / "tools" / "mutants" / (world + ".json")
            prefix = "" if world == "cluster" else world + ": "
            known |= {prefix + mutant["name"] for mutant in json.loads(file.read_text())}
        named = {name for row in ROWS if len(row) == 5
                 for name in re.findall(r"`([^`]+)`", row[4])}
        self.assertGreater(len(named), 25)
        self.assertEqual(named - known, set())

    def test_invariants_exist(self):
        sources = "".join(path.read_text() for path in (ROOT / "sim").glob("*.cc"))
        for row in ROWS:
            for name in filter(None, re.split(r"[;,] ", row[2])) if len(row) == 5 else []:
                self.assertIn('"' + name + '"', sources, row[0])

    def test_every_mutant_has_a_row(self):
        page = (ROOT / "docs" / "mutants.md").read_text()
        for file in sorted((ROOT / "tools" / "mutants").glob("*.json")):
            section = page.partition(f"\n## {file.stem}\n")[2].partition("\n## ")[0]
            rows = re.findall(r"^\| `([^`]+)` \|", section, re.M)
            names = [mutant["name"] for mutant in json.loads(file.read_text())]
            self.assertEqual(sorted(rows), sorted(names), file.stem)


if __name__ == "__main__":
    unittest.main()
