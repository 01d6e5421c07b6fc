#!/usr/bin/env python3
"""Debian's confluent-kafka (librdkafka 2.0.2) against a server."""

import pathlib
import subprocess

from walrus import ServerTest, environment, main

CASES = pathlib.Path(__file__).parent / "librdkafka_cases.py"
PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's packages


class Librdkafka(ServerTest):
    arguments = ("--set", "kafka.group_initial_delay_ms=0", "--set",
                 "log.maintenance_interval_ms=100")

    def test_every_case(self):
        done = subprocess.run([PYTHON, CASES, self.server.kafka], capture_output=True, text=True,
                              timeout=300, env=environment())
        lines = done.stdout.splitlines()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([line for line in lines if not line.startswith("PASS ")], [],
                         done.stderr)
        self.assertEqual(len(lines), 7)


if __name__ == "__main__":
    main()
