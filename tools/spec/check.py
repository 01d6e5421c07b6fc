#!/usr/bin/env python3
"""Checks the Promela models of spec/ with SPIN, as spec/checks lists them, and prints a table.

A correct design must hold over all of its states, and a seeded design error must be found: an
error that is not found fails the run like a property that does not hold. So does a search that is
cut short by memory, depth or time.

usage: tools/spec/check.py [--only MODEL] [--jobs N]
"""

import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

SPEC = pathlib.Path(__file__).resolve().parents[2] / 'spec'
MEMORY_MIB = 6000
SECONDS = 600
CUT_SHORT = re.compile(
    r'max search depth too small|out of memory|hash table full|truncated|aborting')


@dataclasses.dataclass
class Check:
    model: str
    kind: str
    prop: str
    expected: str
    switches: list


def listed():
    for number, line in enumerate((SPEC / 'checks').read_text().splitlines(), 1):
        words = line.split('#')[0].split()
        if not words:
            continue
        if len(words) < 4 or words[1] not in FLAGS or words[3] not in ('holds', 'broken'):
            sys.exit(f'spec/checks:{number}: cannot read: {line}')
        yield Check(*words[:4], words[4:])


# How pan is compiled, and run, for each kind of check.
FLAGS = {
    'assert': (['-DSAFETY'], []),
    'safe': ([], ['-a']),
    'live': (['-DNFAIR=8'], ['-a', '-f']),
}


def run(command, folder, seconds=SECONDS):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds,
                          check=False)


def verdict(output):
    """holds, broken, or why neither can be said."""
    found = re.search(r'errors: (\d+)', output)
    if found is None:
        return 'no result'
    if int(found.group(1)) > 0:
        return 'cut short' if CUT_SHORT.search(output.split('errors:')[0]) and \
            'violated' not in output and 'cycle' not in output else 'broken'
    return 'cut short' if CUT_SHORT.search(output) else 'holds'


def check(one):
    """The verdict on one line of spec/checks, the states that SPIN stored, and what it printed."""
    compile_flags, run_flags = FLAGS[one.kind]
    switches = [f'-D{switch}' for switch in one.switches]
    with tempfile.TemporaryDirectory() as folder:
        made = run(['spin', '-a', *switches, SPEC / f'{one.model}.pml'], folder)
        if made.returncode:
            return 'no model', 0, made.stdout + made.stderr
        made = run(['gcc', '-O2', '-w', '-DVECTORSZ=2048', '-DCOLLAPSE', f'-DMEMLIM={MEMORY_MIB}',
                    *compile_flags, '-o', 'pan', 'pan.c'], folder)
        if made.returncode:
            return 'no model', 0, made.stdout + made.stderr
        named = [] if one.kind == 'assert' else ['-N', one.prop]
        try:
            done = run(['./pan', '-m1000000', '-w24', *run_flags, *named], folder)
        except subprocess.TimeoutExpired:
            return 'cut short', 0, f'more than {SECONDS} s'
    output = done.stdout + done.stderr
    states = re.search(r'(\d+) states, stored', output)
    return verdict(output), int(states.group(1)) if states else 0, output


def timed(one):
    begin = time.monotonic()
    return *check(one), time.monotonic() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--only', metavar='MODEL', help='checks of one model')
    parser.add_argument('--jobs', type=int, default=os.cpu_count())
    options = parser.parse_args()
    checks = [one for one in listed() if options.only in (None, one.model)]
    if not checks:
        sys.exit(f'spec/checks has nothing about {options.only}')
    wrong = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for one, (said, states, output, seconds) in zip(checks, pool.map(timed, checks)):
            right = said == one.expected
            wrong += not right
            print(f'{one.model:8} {one.kind:7} {one.prop:21} {" ".join(one.switches):34} '
                  f'{said:9} {states:>10,} states {seconds:6.1f} s'
                  f'{"" if right else f"   EXPECTED {one.expected}"}', flush=True)
            if not right:
                print('\n'.join(output.rstrip().splitlines()[-20:]))
    print(f'{len(checks) - wrong} as expected, {wrong} not')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
