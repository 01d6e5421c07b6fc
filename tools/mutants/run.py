#!/usr/bin/env python3
"""Mutants: changes of one line, each a bug that loses, tears or resurrects data. The simulator's
seeds alone have to notice every one of them; unit tests are not built.

usage: run.py log [--only NAME] [--seeds 2000] [--jobs N] [--list]

Copies the tree to build/mutants, applies one mutant of tools/mutants/<world>.json at a time, builds
walrus_sim and runs seeds until one fails. An entry: name, file, old (must occur exactly once), new,
breaks. Afterwards the unchanged tree has to pass every seed that caught a mutant.
exit status: 0 all caught, 1 one survived or does not apply, 2 the unchanged tree fails.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "mutants"
TREE = WORK / "tree"
BUILD = WORK / "build"
COPIED = ["CMakeLists.txt", "cmake", "include", "src", "sim"]
CHUNK = 25
SECONDS_PER_CHUNK = 300


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
    for file in sorted(TREE.rglob("*")):
        if file.is_file() and not (ROOT / file.relative_to(TREE)).exists():
            file.unlink()


def configure():
    command = ["cmake", "-S", str(TREE), "-B", str(BUILD), "-G", "Ninja", "-DWALRUS_TESTS=OFF",
               "-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O2",
               "-DCMAKE_CXX_COMPILER=clang++-19", "-DCMAKE_C_COMPILER=clang-19"]
    if shutil.which("ccache"):
        command.append("-DCMAKE_CXX_COMPILER_LAUNCHER=ccache")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def build():
    done = subprocess.run(["ninja", "-C", str(BUILD), "walrus_sim"], capture_output=True, text=True)
    if done.returncode != 0:
        errors = [line for line in done.stdout.splitlines() if "error:" in line]
        return "does not compile: " + (errors or ["?"])[0].strip()
    return None


def run_chunk(world, first, seeds):
    """None: all pass. Else the seed that fails and the rule that it breaks."""
    command = [str(BUILD / "bin" / "walrus_sim"), "--world", world, "--first", str(first),
               "--seeds", str(seeds), "--stop", "--no-family-check"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace",
                              timeout=SECONDS_PER_CHUNK)
    except subprocess.TimeoutExpired:
        return first, "hangs"
    if done.returncode == 0:
        return None
    found = re.search(r"--seed (\d+) .*\n  ([^:]+)", done.stdout)
    if found:
        return int(found.group(1)), found.group(2)
    last = (done.stderr.strip().splitlines() or ["?"])[-1]
    return first, "ends with status %d: %s" % (done.returncode, last[:60])


def first_failure(world, seeds, jobs):
    """The lowest failing chunk's failure, or None."""
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        starts = iter(range(1, seeds + 1, CHUNK))
        running = []
        failure = None
        while True:
            while failure is None and len(running) < jobs:
                start = next(starts, None)
                if start is None:
                    break
                running.append(pool.submit(run_chunk, world, start, min(CHUNK, seeds + 1 - start)))
            if not running:
                return failure
            done = running.pop(0).result()
            failure = failure or done


def apply(mutant):
    file = TREE / mutant["file"]
    text = file.read_text()
    if text.count(mutant["old"]) != 1:
        return "old text occurs %d times in %s" % (text.count(mutant["old"]), mutant["file"])
    file.write_text(text.replace(mutant["old"], mutant["new"]))
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("world", choices=["log"])
    parser.add_argument("--only", help="this mutant alone")
    parser.add_argument("--seeds", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    mutants = json.loads((ROOT / "tools" / "mutants" / (args.world + ".json")).read_text())
    if args.only:
        mutants = [mutant for mutant in mutants if mutant["name"] == args.only]
    if args.list:
        for mutant in mutants:
            print("%-32s %s" % (mutant["name"], mutant["breaks"]))
        return 0
    WORK.mkdir(parents=True, exist_ok=True)
    copy_tree()
    configure()
    survived, highest = 0, 0
    print("%-32s %-8s %-30s %s" % ("mutant", "seed", "caught by", "seconds"))
    for mutant in mutants:
        begin = time.monotonic()
        problem = apply(mutant) or build()
        caught = None if problem else first_failure(args.world, args.seeds, args.jobs)
        shutil.copyfile(ROOT / mutant["file"], TREE / mutant["file"])
        if caught is None:
            survived += 1
        else:
            highest = max(highest, caught[0])
        seed, how = caught or ("-", problem or "SURVIVED")
        print("%-32s %-8s %-30s %.0f" % (mutant["name"], seed, how, time.monotonic() - begin),
              flush=True)
    print("%d mutants, %d not caught" % (len(mutants), survived))
    problem = build()
    failure = (highest, problem) if problem else None
    if not failure and highest:
        failure = first_failure(args.world, highest, args.jobs)
    if failure:
        print("the unchanged tree fails: seed %s, %s" % failure)
        return 2
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
