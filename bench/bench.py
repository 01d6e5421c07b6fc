#!/usr/bin/env python3
"""./dev bench log|raft: builds and runs a benchmark, prints its table, puts it where people look.

Rows go to build/bench/PART.json. With --only, rows measured anew take the place of the old ones
there. docs/benchmarks/PART.md (behind PART.intro.md) and PART.svg are made from that file.

usage: bench.py log|raft [--check] [--rounds N] [--short] [--only ROW-OR-CASE]... [--report]
--short  raft: runs of a moment, to see that each row works: writes raft.short.json and no page
exit status: 0 = all rows were measured; 1 = a run failed, or with --check a target was missed
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import report

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/release"
OUT = ROOT / "build/bench"
DOCS = ROOT / "docs/benchmarks"
GOPATH = "/usr/share/gocode"  # where Debian has the sources of etcd's client


def run(*words):
    print("+", " ".join(str(word) for word in words), flush=True)
    return subprocess.run([str(word) for word in words], cwd=ROOT).returncode


def build_etcd_load():
    """The load that etcd is measured with."""
    program = OUT / "etcd_load"
    OUT.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ, GO111MODULE="off", GOPATH=GOPATH, GOFLAGS="", CGO_ENABLED="0",
                       GOCACHE=str(ROOT / "build/go-cache"))
    words = ["go", "build", "-o", str(program), str(ROOT / "bench/raft/etcd_load.go")]
    print("+", " ".join(words), flush=True)
    subprocess.run(words, check=True, cwd=ROOT, env=environment)
    return program


def build(part):
    """The benchmark, and the program beside it that it runs; None: it could not be built."""
    binary = BUILD / f"bin/walrus_bench_{part}"
    targets = [binary.name] + (["walrus"] if part == "log" else [])
    if run("cmake", "--preset", "release", "-DWALRUS_BENCH=ON") or \
            run("cmake", "--build", BUILD, "--target", *targets):
        return None
    return binary, BUILD / "bin/walrus" if part == "log" else build_etcd_load()


def cases(binary):
    """Name of each case and the rows it fills, in the order of the report."""
    listed = subprocess.run([binary], check=True, capture_output=True, text=True).stdout
    return {words[0]: words[1:] for words in map(str.split, listed.splitlines())}


def measure(programs, case, options, rows):
    """Runs one case and puts its rows among the others. False: it failed."""
    binary, beside = programs
    out, began = OUT / f"{case}.json", time.monotonic()
    status = run(binary, case, out, OUT / "data", beside, *options)
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


def write_docs(part, rows, lacking):
    DOCS.mkdir(parents=True, exist_ok=True)
    intro = (DOCS / f"{part}.intro.md").read_text()
    page = intro + "\n## Results\n\n" + report.markdown(rows)
    if lacking:
        page += f"\nNot measured to an end: {', '.join(f'`{name}`' for name in lacking)}.\n"
    (DOCS / f"{part}.md").write_text(page)
    (DOCS / f"{part}.svg").write_text(report.svg(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", choices=["log", "raft"])
    parser.add_argument("--check", action="store_true", help="exit 1 if a target is missed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--short", action="store_true", help="raft: runs of a moment")
    parser.add_argument("--only", action="append", help="a case, or a row whose case is run")
    parser.add_argument("--report", action="store_true",
                        help="measure nothing, write the pages of what there is")
    args = parser.parse_args()
    if args.short and args.part != "raft":
        parser.error("--short is for raft")
    programs = build(args.part)
    if not programs:
        return 1
    known = cases(programs[0])
    wanted = [case for case, names in known.items()
              if not args.only or any(word in [case, *names] for word in args.only)]
    if not wanted:
        parser.error(f"no such row or case; the cases are {' '.join(known)}")
    OUT.mkdir(parents=True, exist_ok=True)
    file = OUT / (f"{args.part}.short.json" if args.short else f"{args.part}.json")
    options = [1, "brief"] if args.short else [args.rounds]
    merged = args.only or args.report
    rows = {row["name"]: row for row in json.loads(file.read_text())} \
        if merged and file.exists() else {}
    failed = []
    for case in [] if args.report else wanted:
        if not measure(programs, case, options, rows):
            failed.append(case)
        # What was measured stays if the next case is cut short.
        file.write_text(json.dumps(in_order(known, rows), indent=2) + "\n")
    ordered = in_order(known, rows)
    print(report.table(ordered), end="")
    lacking = [name for names in known.values() for name in names if name not in rows]
    if lacking:
        print(f"not measured yet: {' '.join(lacking)}")
    if not args.short and (not lacking or args.report):
        write_docs(args.part, ordered, lacking)
    for case in failed:
        print(f"bench.py: {case}: failed", file=sys.stderr)
    missed = any(row["met"] is False for row in ordered)
    return 1 if failed or (args.check and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
