#!/usr/bin/env python3
"""tally.py DIRECTORY ALLOWED_SKIPS: sums ctest's JUnit files and the `lines` file of one run.

Prints each failure and each skip (`SKIP name: reason`) and, as the last line, the sums. A skip that
ALLOWED_SKIPS does not list, or lists with conditions of which none holds here, counts as a failure.
Exit status 1 if anything failed or if nothing ran at all.
"""

import os
import pathlib
import shutil
import subprocess
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


def may_mount():
    """Whether this process has CAP_SYS_ADMIN, which root of a container often has not."""
    status = pathlib.Path("/proc/self/status").read_text()
    capabilities = int(status.split("CapEff:")[1].split()[0], 16)
    return bool(capabilities >> 21 & 1)


def may_make_networks():
    """Whether this user may make network namespaces; the test itself says what was refused."""
    sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tests/chaos"))
    import network
    return network.refusal() is None


def npm_registry_answers():
    """Asked only when a test that needs it was skipped, or might have been."""
    npm = shutil.which("npm")
    words = [npm, "ping", "--fetch-retries=0", "--fetch-timeout=5000"]
    return bool(npm) and subprocess.run(words, capture_output=True, timeout=120).returncode == 0


CONDITIONS = {
    "root": lambda: os.geteuid() == 0,
    "not root": lambda: os.geteuid() != 0,
    "no right to mount": lambda: not may_mount(),
    "no npm": lambda: not shutil.which("npm"),
    "no npm registry": lambda: not npm_registry_answers(),
    "no etcd sources": lambda: not (shutil.which("go") and os.path.isdir(
        "/usr/share/gocode/src/go.etcd.io/etcd/raft")),
    "no network namespaces": lambda: not may_make_networks(),
    "no loop devices": lambda: not os.path.exists("/dev/loop-control"),
}


def allowed_names(path):
    """The names with a condition that holds. A condition that is not known ends the run."""
    names = set()
    for line in pathlib.Path(path).read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, conditions = line.split(":", 1)
        if any([CONDITIONS[word.strip()]() for word in conditions.split(",")]):
            names.add(name.strip())
    return names


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
                print(f"FAILED {name}: skipped, which tests/allowed_skips does not allow here")
                state = "failed"
        elif state == "failed":
            print(f"FAILED {name}")
        count[state] += 1
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped")
    return 1 if count["failed"] or not count["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
