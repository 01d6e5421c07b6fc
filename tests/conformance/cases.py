"""A script of cases: each is a function, each prints one line, PASS or FAIL with its name."""

import sys
import traceback
import uuid

CASES = []


def case(function):
    CASES.append(function)
    return function


def fresh(prefix):
    """A name that no other case has."""
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def equal(got, wanted, what="value"):
    if got != wanted:
        raise AssertionError(f"{what}: {str(got)[:200]!r} instead of {str(wanted)[:200]!r}")


def run(prefix, *arguments):
    failed = False
    for function in CASES:
        name = f"{prefix}.{function.__name__}"
        try:
            function(*arguments)
            print(f"PASS {name}", flush=True)
        except Exception as error:  # whatever a client throws is the case's outcome
            failed = True
            traceback.print_exc()
            text = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"FAIL {name}: {text[:300]}", flush=True)
    sys.exit(1 if failed else 0)
