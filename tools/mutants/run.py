#!/usr/bin/env python3
"""Mutants: changes of one line, each a bug that breaks a promise. The simulator's seeds alone have
to notice every one of them; unit tests are not built.

usage: run.py log|groups|raft|node|service|meta|member|cluster|replica|owners
       [--only NAME[,NAME...]] [--seeds N] [--first S] [--tries N] [--jobs N] [--record]
       [--list | --applies]

Copies the tree to build/mutants, applies one mutant of tools/mutants/<world>.json at a time, builds
walrus_sim and runs seeds until one fails that the unchanged tree passes: a seed that fails without
the mutant says nothing about it. An entry: name, file, old (must occur exactly once), new, breaks.
With several tries, each over other seeds, all have to find it. Each result is a line when it is
there, and all of them are a table in the end: the seed that found the mutant first, how many seeds
the tries took in the median, and what was noticed; then the median of all mutants and who survived.
--list names them, --applies only asks whether each of them still fits the tree, which nothing is
built before. --record writes what was found into docs/mutants.md, one mutant after the other.
exit status: 0 all caught, 1 one survived or does not apply, 2 the unchanged tree does not build.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "dev"))
from sim_sweep import Chunk  # noqa: E402

WORK = ROOT / "build" / "mutants"
PAGE = ROOT / "docs" / "mutants.md"
TREE = WORK / "tree"
# As far below its tree as that of ./dev build, and with its flags: a compiler cache serves both.
BUILD = TREE / "build" / "release"
BINARY, UNCHANGED = BUILD / "bin" / "walrus_sim", WORK / "walrus_sim.unchanged"
COPIED = ["CMakeLists.txt", "cmake", "include", "src", "sim"]
CHUNK = {"log": 20, "groups": 20, "raft": 100, "node": 25, "service": 10, "meta": 50, "member": 10,
         "cluster": 20, "replica": 10, "owners": 5}
SEEDS = {"log": 2000, "groups": 2000, "raft": 20000, "node": 2000, "service": 500, "meta": 5000,
         "member": 300, "cluster": 2000, "replica": 600, "owners": 300}
# Several where a seed is cheap.
TRIES = {"log": 1, "groups": 1, "raft": 3, "node": 1, "service": 1, "meta": 3, "member": 1,
         "cluster": 1, "replica": 1, "owners": 1}
HANG_SECONDS = 90  # a mutant may also be noticed by a hang


def copy_tree():
    """Only what changed, so that what was built before stays built."""
    for part in COPIED:
        source = ROOT / part
        files = [source] if source.is_file() else sorted(source.rglob("*"))
        for file in files:
            if not file.is_file() or file.name == "install.cmake" or file.name.endswith("_test.cc"):
                continue
            to = TREE / file.relative_to(ROOT)
            if to.exists() and to.read_bytes() == file.read_bytes():
                continue
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, to)
    for part in COPIED:
        for file in sorted((TREE / part).rglob("*")):
            if file.is_file() and not (ROOT / file.relative_to(TREE)).exists():
                file.unlink()


def configure():
    command = ["cmake", "-S", str(TREE), "-B", str(BUILD), "-G", "Ninja", "-DWALRUS_TESTS=OFF",
               "-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O2 -g1",
               "-DCMAKE_CXX_COMPILER=clang++-19", "-DCMAKE_C_COMPILER=clang-19",
               "-DWALRUS_UNITY=OFF"]  # a mutant is in one source
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def build():
    done = subprocess.run(["ninja", "-C", str(BUILD), "walrus_sim"], capture_output=True, text=True)
    if done.returncode != 0:
        errors = [line for line in done.stdout.splitlines() if "error:" in line]
        return "does not compile: " + (errors or ["?"])[0].strip()
    return None


def run_chunk(world, binary, first, seeds):
    """The first seed of the chunk that fails and the rule that it breaks, or None."""
    chunk = Chunk(world, HANG_SECONDS)
    chunk.run_process(str(binary), first, first + seeds, ["--stop"])
    return min(chunk.failed.items(), default=None)


def first_failure(world, begin, seeds, jobs):
    """The lowest seed from `begin` on that fails and that the unchanged tree passes, or None."""
    def look(first, end):
        while first < end:
            failure = run_chunk(world, BINARY, first, end - first)
            if not failure:
                return None
            # A slow machine is no hang; a seed that fails anyhow says nothing about the mutant.
            again = run_chunk(world, BINARY, failure[0], 1)
            if again and not run_chunk(world, UNCHANGED, failure[0], 1):
                return again
            first = failure[0] + 1
        return None

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        end, at_once = begin + seeds, CHUNK[world]
        starts = iter(range(begin, end, at_once))
        running = []
        failure = None
        while True:
            while failure is None and len(running) < jobs:
                start = next(starts, None)
                if start is None:
                    break
                running.append(pool.submit(look, start, min(start + at_once, end)))
            if not running:
                return failure
            done = running.pop(0).result()
            failure = failure or done


class Outcome:
    """What became of one mutant."""

    HEAD = "%-32s %-10s %-12s %-7s %s" % ("mutant", "first seed", "median seeds", "seconds",
                                          "caught by")

    def __init__(self, mutant, args):
        self.name, self.first, self.took = mutant["name"], None, None
        begin = time.monotonic()
        with Mutated(mutant) as problem:
            self.how = problem or self.try_to_catch(args)
        self.seconds = time.monotonic() - begin

    def try_to_catch(self, args):
        took, first, how = [], None, ""
        for number in range(args.tries):
            begin = args.first + number * 1000 * args.seeds
            failure = first_failure(args.world, begin, args.seeds, args.jobs)
            if not failure:
                return "SURVIVED %d seeds from %d" % (args.seeds, begin)
            first = first or failure[0]
            took.append(failure[0] - begin + 1)
            how = failure[1]
        self.first, self.took = first, sorted(took)[len(took) // 2]
        return how

    def row(self):
        """In docs/mutants.md."""
        return "| `%s` | %s | %s | %s |" % (self.name, self.first or "-", self.took or "-",
                                            self.how[:70].replace("|", "/"))

    def line(self):
        return "%-32s %-10s %-12s %-7.0f %s" % (self.name, self.first or "-", self.took or "-",
                                                self.seconds, self.how[:90])


def print_table(outcomes):
    """Returns how many were not caught."""
    survived = [one for one in outcomes if one.took is None]
    print("\n" + Outcome.HEAD)
    for one in outcomes:
        print(one.line())
    seeds = [one.took for one in outcomes if one.took is not None]
    middle = statistics.median_low(seeds) if seeds else "-"
    print("%d mutants, %d not caught; the median took %s seeds" % (len(outcomes), len(survived),
                                                                   middle))
    for one in survived:
        print("NOT CAUGHT: %s: %s" % (one.name, one.how))
    return len(survived)


def record(world, outcome):
    """The row of a mutant in the table of its world, which stands below a heading of that name."""
    before, heading, rest = PAGE.read_text().partition("\n## %s\n" % world)
    section, end, after = rest.partition("\n## ")
    lines = section.split("\n")
    row = [place for place, line in enumerate(lines) if line.startswith("| `%s` |" % outcome.name)]
    last = max(place for place, line in enumerate(lines) if line.startswith("|"))
    if row:
        lines[row[0]] = outcome.row()
    else:
        lines.insert(last + 1, outcome.row())
    PAGE.write_text(before + heading + "\n".join(lines) + end + after)


class Mutated:
    """The tree with one mutant in it; as it was again afterwards."""

    def __init__(self, mutant):
        self.mutant = mutant
        self.file = TREE / mutant["file"]
        self.text = self.file.read_text()

    def __enter__(self):
        count = self.text.count(self.mutant["old"])
        if count != 1:
            return "old text occurs %d times in %s" % (count, self.mutant["file"])
        self.file.write_text(self.text.replace(self.mutant["old"], self.mutant["new"]))
        return build()

    def __exit__(self, *_):
        self.file.write_text(self.text)


def outdated(mutants):
    """Prints and counts the mutants whose text the tree does not hold exactly once."""
    found = 0
    for mutant in mutants:
        file = ROOT / mutant["file"]
        count = file.read_text().count(mutant["old"]) if file.is_file() else 0
        if count != 1:
            print("%s: old text occurs %d times in %s" % (mutant["name"], count, mutant["file"]))
            found += 1
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("world", choices=sorted(SEEDS))
    parser.add_argument("--only", metavar="NAME[,NAME...]", help="these mutants alone")
    parser.add_argument("--seeds", type=int, help="how many a try may take")
    parser.add_argument("--tries", type=int)
    parser.add_argument("--first", type=int, default=1, help="the first seed of the first try")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--applies", action="store_true")
    args = parser.parse_args()
    args.seeds = args.seeds or SEEDS[args.world]
    args.tries = args.tries or TRIES[args.world]
    mutants = json.loads((ROOT / "tools" / "mutants" / (args.world + ".json")).read_text())
    if args.only:
        only = args.only.split(",")
        unknown = set(only) - {mutant["name"] for mutant in mutants}
        if unknown:
            parser.error("no mutant of %s is named %s" % (args.world, ", ".join(sorted(unknown))))
        mutants = [mutant for mutant in mutants if mutant["name"] in only]
    if args.list:
        for mutant in mutants:
            print("%-32s %s" % (mutant["name"], mutant["breaks"]))
        return 0
    if outdated(mutants):
        return 1
    if args.applies:
        return 0
    WORK.mkdir(parents=True, exist_ok=True)
    copy_tree()
    configure()
    problem = build()
    if problem:
        print("the unchanged tree:", problem)
        return 2
    shutil.copy2(BINARY, UNCHANGED)
    outcomes = []
    print(Outcome.HEAD)
    for mutant in mutants:
        outcomes.append(Outcome(mutant, args))
        print(outcomes[-1].line(), flush=True)
        if args.record:
            record(args.world, outcomes[-1])
    return 1 if print_table(outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
