#!/usr/bin/env python3
"""tally.py DIRECTORY ALLOWED_SKIPS: sums ctest's JUnit files and the `lines` file of one run.

Prints each failure and each skip (`SKIP name: reason`) and, as the last line, the sums. A skip
whose name is not in ALLOWED_SKIPS counts as a failure. Exit status 1 if anything failed or if
nothing ran at all.
"""

import pathlib
import sys
import xml.etree.ElementTree as xml


def skip_reason(output):
    """What the test said: `SKIP reason` (scripts, exit status 77) or GTEST_SKIP's line."""
    lines = [line.strip() for line in (output or "").splitlines()]
    for place, line in enumerate(lines):
        if line.startswith("SKIP "):
            return line[5:]
        if line.endswith(": Skipped") and place + 1 < len(lines):
            return lines[place + 1]
    return "no reason given"


def allowed_names(path):
    lines = pathlib.Path(path).read_text().splitlines()
    return {line.split(":")[0].strip() for line in lines if line.strip() and line[0] != "#"}


def results(directory):
    """(state, name, reason) of each test; state is passed, failed or skipped."""
    for file in sorted(directory.glob("*.xml")):
        for case in xml.parse(file).getroot().iter("testcase"):
            name, status = case.get("name"), case.get("status")
            if status == "run":
                yield "passed", name, ""
            elif case.find("skipped") is not None:
                yield "skipped", name, skip_reason(case.findtext("system-out"))
            else:
                yield "failed", name, ""
    lines = directory / "lines"
    for line in lines.read_text().splitlines() if lines.exists() else []:
        state, name = line.split(" ", 1)
        yield state, name, ""


def main(directory, allowed_path):
    allowed = allowed_names(allowed_path)
    count = {"passed": 0, "failed": 0, "skipped": 0}
    for state, name, reason in results(pathlib.Path(directory)):
        if state == "skipped":
            print(f"SKIP {name}: {reason}")
            if name not in allowed:
                print(f"FAILED {name}: skipped, and tests/allowed_skips does not list it")
                state = "failed"
        elif state == "failed":
            print(f"FAILED {name}")
        count[state] += 1
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped")
    return 1 if count["failed"] or not count["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
