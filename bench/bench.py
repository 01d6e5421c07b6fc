#!/usr/bin/env python3
"""./dev bench log: builds and runs the benchmark, prints its table and puts it where people look.

Rows go to build/bench/log.json. With --only, rows measured anew take the place of the old ones
there. docs/benchmarks/log.md (behind log.intro.md) and log.svg are made from that file.

usage: bench.py log [--check] [--rounds N] [--only ROW-OR-CASE]... [--report]
exit status: 0 = all rows were measured; 1 = a run failed, or with --check a target was missed
"""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import time

import report

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/release"
BINARY = BUILD / "bin/walrus_bench_log"
OUT = ROOT / "build/bench"
ROWS = OUT / "log.json"
DOCS = ROOT / "docs/benchmarks"


def run(*words):
    print("+", " ".join(str(word) for word in words), flush=True)
    return subprocess.run([str(word) for word in words], cwd=ROOT).returncode


def cases():
    """Name of each case and the rows it fills, in the order of the report."""
    listed = subprocess.run([BINARY], check=True, capture_output=True, text=True).stdout
    return {words[0]: words[1:] for words in map(str.split, listed.splitlines())}


def measure(case, rounds, rows):
    """Runs one case and puts its rows among the others. False: it failed."""
    out, began = OUT / f"{case}.json", time.monotonic()
    status = run(BINARY, case, out, OUT / "data", BUILD / "bin/walrus", rounds)
    shutil.rmtree(OUT / "data", ignore_errors=True)
    if status:
        return False
    fresh = json.loads(out.read_text())
    out.unlink()
    rows.update({row["name"]: row for row in fresh})
    print(report.table(fresh) + f"{case}: {time.monotonic() - began:.0f} s", flush=True)
    return True


def in_order(known, rows):
    return [rows[name] for names in known.values() for name in names if name in rows]


def save(rows):
    ROWS.write_text(json.dumps(rows, indent=2) + "\n")


def write_docs(rows, lacking):
    DOCS.mkdir(parents=True, exist_ok=True)
    intro = (DOCS / "log.intro.md").read_text()
    page = intro + "\n## Results\n\n" + report.markdown(rows)
    if lacking:
        page += f"\nNot measured to an end: {', '.join(f'`{name}`' for name in lacking)}.\n"
    (DOCS / "log.md").write_text(page)
    (DOCS / "log.svg").write_text(report.svg(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", choices=["log"])
    parser.add_argument("--check", action="store_true", help="exit 1 if a target is missed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", help="a case, or a row whose case is run")
    parser.add_argument("--report", action="store_true",
                        help="measure nothing, write the pages of what there is")
    args = parser.parse_args()
    if run("cmake", "--preset", "release", "-DWALRUS_BENCH=ON"):
        return 1
    if run("cmake", "--build", BUILD, "--target", "walrus_bench_log", "walrus"):
        return 1
    known = cases()
    wanted = [case for case, names in known.items()
              if not args.only or any(word in [case, *names] for word in args.only)]
    if not wanted:
        parser.error(f"no such row or case; the cases are {' '.join(known)}")
    OUT.mkdir(parents=True, exist_ok=True)
    merged = args.only or args.report
    rows = {row["name"]: row for row in json.loads(ROWS.read_text())} \
        if merged and ROWS.exists() else {}
    failed = []
    for case in [] if args.report else wanted:
        if not measure(case, args.rounds, rows):
            failed.append(case)
        save(in_order(known, rows))  # what was measured stays if the next case is cut short
    ordered = in_order(known, rows)
    print(report.table(ordered), end="")
    lacking = [name for names in known.values() for name in names if name not in rows]
    if lacking:
        print(f"not measured yet: {' '.join(lacking)}")
    if not lacking or args.report:
        write_docs(ordered, lacking)
    for case in failed:
        print(f"bench.py: {case}: failed", file=sys.stderr)
    missed = any(row["met"] is False for row in ordered)
    return 1 if failed or (args.check and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
