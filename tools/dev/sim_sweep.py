#!/usr/bin/env python3
"""Runs seeds of a simulated world on all cores and adds up what they did.

usage: sim_sweep.py BINARY --seeds N [--world log] [--first S] [--hang SECONDS] [--twice-every N]
Prints each failing seed with the line that repeats it, then one table: operations, crashes, and how
often each fault family was hit. A family hit fewer than FAMILY_HITS_MIN times fails a sweep of
SEEDS_FOR_FAMILIES seeds or more, and so does a row that is below what the world asks for per seed.
exit status: 0 = all seeds pass, 1 = one failed, too little was done, or nothing ran
"""
import argparse
import collections
import concurrent.futures
import os
import re
import subprocess
import sys

FAMILY_HITS_MIN, SEEDS_FOR_FAMILIES = 50, 500
# Seeds a process.
CHUNKS = {"log": 20, "groups": 20, "owners": 20, "raft": 250, "node": 20, "service": 10,
          "meta": 250, "member": 20, "cluster": 25, "replica": 25}
HANG_SECONDS = 240  # a chunk takes a few; a seed that hangs is named, and the others go on


class Chunk:
    """What a process did with seeds [first, first + seeds): the failures by seed, and the table."""

    def __init__(self, world="log", hang_seconds=HANG_SECONDS):
        self.failed, self.table = {}, collections.Counter()
        self.world, self.hang_seconds = world, hang_seconds

    def run(self, binary, first, seeds, *options):
        end = first + seeds
        while first < end:
            first = self.run_process(binary, first, end, options)

    def run_process(self, binary, first, end, options):
        """Returns the seed to go on with: `end`, or the one behind a seed that ended it."""
        words = [binary, "--world", self.world, "--first", str(first), "--seeds", str(end - first),
                 "--announce", "--no-family-check", *options]
        try:
            done = subprocess.run(words, capture_output=True, text=True, errors="replace",
                                  timeout=self.hang_seconds)
            output, how = done.stdout, None
            if done.returncode not in (0, 1):
                last = (done.stderr.strip().splitlines() or [""])[-1]
                how = f"ends with status {done.returncode}: {last[:150]}"
        except subprocess.TimeoutExpired as expired:
            output, how = (expired.stdout or b"").decode("utf-8", "replace"), "hangs"
        for seed, why in re.findall(r"^walrus_sim .*--seed (\d+)(?: .*)?\n  (.*)", output, re.M):
            self.failed[int(seed)] = why[:200]
        if how:
            begun = re.findall(r"^> (\d+)$", output, re.M)
            seed = int(begun[-1]) if begun else first
            self.failed[seed] = how
            return seed + 1
        for name, count in re.findall(r"^( *[a-z_. -]+?(?: from \d+)?) +(\d+)$", output, re.M):
            self.table[name] += int(count)
        return end


def run_all(args):
    chunks, at_once, end = [], CHUNKS[args.world], args.first + args.seeds
    options = ["--twice-every", str(args.twice_every)] if args.twice_every else []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for start in range(args.first, end, at_once):
            chunk = Chunk(args.world, args.hang)
            size = min(at_once, end - start)
            chunks.append((chunk, pool.submit(chunk.run, args.binary, start, size, *options)))
        for _, future in chunks:
            future.result()
    whole = Chunk()
    for chunk, _ in chunks:
        whole.failed.update(chunk.failed)
        whole.table.update(chunk.table)
    return whole


def families(args):
    """The families that have to be hit, as the simulator lists them."""
    done = subprocess.run([args.binary, "--world", args.world, "--families"], capture_output=True,
                          text=True, check=True)
    return done.stdout.splitlines()


def too_little(args, table):
    """Prints and counts the rows that are below what the world asks for per seed."""
    if args.seeds < SEEDS_FOR_FAMILIES:
        return 0
    done = subprocess.run([args.binary, "--world", args.world, "--least"], capture_output=True,
                          text=True, check=True)
    below = 0
    for least, name in re.findall(r"^(\d+) (.*)$", done.stdout, re.M):
        a_seed = table[name] / max(table["seeds"], 1)
        few = a_seed < int(least)
        below += few
        print(f"{a_seed:.0f} {name} a seed" + (f", fewer than {least}" if few else ""))
    return below


def table_order(name):
    """Histogram rows, `commands from 256`, by their number."""
    row, _, low = name.partition(" from ")
    return (row, int(low)) if low else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binary")
    parser.add_argument("--world", choices=sorted(CHUNKS), default="log")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--seeds", type=int, required=True)
    parser.add_argument("--hang", type=float, default=HANG_SECONDS, help="seconds for a chunk")
    parser.add_argument("--twice-every", type=int, default=0,
                        help="run each seed that this divides twice, to the same trace")
    args = parser.parse_args()
    names = families(args)
    whole = run_all(args)
    for seed, why in sorted(whole.failed.items()):
        print(f"walrus_sim --world {args.world} --seed {seed}\n  {why}")
    rows = [name for name in whole.table if not name.startswith(" ")]
    for name in [name for name in rows if not table_order(name)]:
        print(f"{name:24} {whole.table[name]:12}")
    for name in sorted((name for name in rows if table_order(name)), key=table_order):
        print(f"seeds with {name:20} {whole.table[name]:12}")
    print("hits per fault family")
    seldom = 0
    for name in names:
        count = whole.table["  " + name]
        few = args.seeds >= SEEDS_FOR_FAMILIES and count < FAMILY_HITS_MIN
        seldom += few
        print(f"  {name:22} {count:12}" + (f"  fewer than {FAMILY_HITS_MIN}" if few else ""))
    below = too_little(args, whole.table)
    # A failure that was counted and not named would be one that nobody can repeat.
    failed = max(len(whole.failed), whole.table["failed"])
    print(f"{args.seeds} seeds, {failed} failing, {seldom} fault families hit too seldom")
    return 0 if not failed and not seldom and not below and whole.table["seeds"] else 1


if __name__ == "__main__":
    sys.exit(main())
