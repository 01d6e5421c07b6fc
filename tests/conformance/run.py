#!/usr/bin/env python3
"""Other people's clients and their test suites against a server: Walrus, or a real Kafka, on which
the same cases prove themselves.

usage: run.py [PART...] [--against walrus|kafka] [--only NAME]...
parts: librdkafka  the suite of librdkafka itself
       python      confluent-kafka and kafka-python
       java        Kafka's own client and command-line tools
       npm         kafkajs and @platformatic/kafka
       go          franz-go
       answers     the same raw requests to Walrus and to Kafka, their answers compared
       cluster     Kafka's command-line tools against three nodes

Each case is one line: PASS, FAIL or SKIP, its name, and the reason; the last line sums them up.
What is not tried is listed in exclusions.toml with the feature that is missing. Exit status 1 if a
case failed or nothing ran.
"""

import argparse
import sys
import time

import suite  # first: it makes the others findable
import part_answers
import part_cluster
import part_go
import part_java
import part_librdkafka
import part_npm
import part_python
import peers


def run_part(part, tally):
    try:
        PARTS[part].cases(tally)
    except peers.Missing as error:
        tally.add("FAIL", part, f"not to be had: {error}")
    except AssertionError as error:
        tally.add("FAIL", part, str(error))


PARTS = {"librdkafka": part_librdkafka, "java": part_java, "python": part_python,
         "npm": part_npm, "go": part_go, "answers": part_answers, "cluster": part_cluster}


def main():
    parser = argparse.ArgumentParser(prog="./dev conformance",
                                     description=__doc__.split("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--against", choices=["walrus", "kafka"], default="walrus")
    parser.add_argument("--only", action="append", metavar="NAME",
                        help="a case by the beginning of its name, which may be a pattern")
    args = parser.parse_args()
    for part in args.parts:
        if part not in PARTS:
            parser.error(f"unknown part {part} ({', '.join(PARTS)})")
    suite.OUT.mkdir(parents=True, exist_ok=True)
    tally = suite.Tally(args.against, args.only)
    for part in args.parts or PARTS:
        began = time.monotonic()
        print(f"== {part} against {args.against}", flush=True)
        run_part(part, tally)
        print(f"{part}: {time.monotonic() - began:.0f} s", flush=True)
    for name in tally.failed:
        print(f"FAILED {name}")
    counts = tally.counts
    print(f"{counts['PASS']} passed, {counts['FAIL']} failed, {counts['SKIP']} skipped")
    return 1 if counts["FAIL"] or not counts["PASS"] else 0


if __name__ == "__main__":
    sys.exit(main())
