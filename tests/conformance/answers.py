"""Sends each case to both addresses and compares the answers. usage: answers.py WALRUS KAFKA

A difference is a failure unless answers.toml gives the reason; so is a reason without one.
"""

import json
import pathlib
import sys
import tomllib

import answers_fetch  # noqa: F401  (each module adds its cases)
import answers_groups  # noqa: F401
import answers_node  # noqa: F401
import answers_produce  # noqa: F401
import answers_topics  # noqa: F401
from answer_requests import CASES
from raw import Raw, plain

REASONS = tomllib.loads((pathlib.Path(__file__).parent / "answers.toml").read_text())["differs"]


def differences(ours, theirs, place=""):
    """Where two plain answers differ, in words."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [line for key in {**ours, **theirs} for line in
                differences(ours.get(key), theirs.get(key), f"{place}.{key}" if place else key)]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [line for at, pair in enumerate(zip(ours, theirs))
                for line in differences(*pair, f"{place}[{at}]")]
    if ours == theirs:
        return []
    return [f"{place}: {json.dumps(ours)[:120]}, Kafka {json.dumps(theirs)[:120]}"]


def answer_of(function, address):
    raw = Raw(address)
    try:
        return plain(function(raw))
    except Exception as error:
        raise AssertionError(f"against {address}: {type(error).__name__}: {error}") from error
    finally:
        raw.close()


def main():
    ours, theirs, only = sys.argv[1], sys.argv[2], sys.argv[3:]
    failed = False
    for name in REASONS:
        if name not in CASES:
            print(f"FAIL answers.{name}: answers.toml names it, there is no such case")
            failed = True
    for name, function in CASES.items():
        if only and name not in only:
            continue
        try:
            found = differences(answer_of(function, ours), answer_of(function, theirs))
        except AssertionError as error:
            failed = True
            print(f"FAIL answers.{name}: {error}", flush=True)
            continue
        reason = REASONS.get(name)
        if bool(found) == bool(reason):
            print(f"PASS answers.{name}", flush=True)
        elif found:
            failed = True
            print(f"FAIL answers.{name}: {'; '.join(found)}", flush=True)
        else:
            failed = True
            print(f"FAIL answers.{name}: no difference any more: {reason}", flush=True)
    sys.exit(1 if failed else 0)


main()
