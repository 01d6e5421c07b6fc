#!/usr/bin/env python3
"""./dev bench log: builds and runs the benchmark, then puts its table where people look.

usage: bench.py log [--check] [--rounds N] [--only NAME]
exit status: 0 = all rows were measured; 1 = a run failed, or with --check a target was missed
"""
import argparse
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/release"
OUT = ROOT / "build/bench"


def run(*words):
    print("+", " ".join(str(w) for w in words), flush=True)
    return subprocess.run([str(w) for w in words], cwd=ROOT).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", choices=["log"])
    parser.add_argument("--check", action="store_true", help="exit 1 if a target is missed")
    parser.add_argument("--rounds", default="3")
    parser.add_argument("--only", default="", help="rows whose name holds this; no docs written")
    args = parser.parse_args()
    if run("cmake", "--preset", "release", "-DWALRUS_BENCH=ON"):
        return 1
    if run("cmake", "--build", BUILD, "--target", "walrus_bench_log", "walrus"):
        return 1
    words = [BUILD / "bin/walrus_bench_log", OUT, BUILD / "bin/walrus", "--rounds", args.rounds]
    if args.only:
        words += ["--only", args.only]
    status = run(*words)
    if status not in (0, 3):
        return 1
    if not args.only:
        docs = ROOT / "docs/benchmarks"
        docs.mkdir(parents=True, exist_ok=True)
        intro = (docs / "log.intro.md").read_text() if (docs / "log.intro.md").exists() else ""
        (docs / "log.md").write_text(intro + (OUT / "log.md").read_text())
    return 1 if args.check and status == 3 else 0


if __name__ == "__main__":
    sys.exit(main())
