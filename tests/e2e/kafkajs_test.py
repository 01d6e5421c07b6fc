#!/usr/bin/env python3
"""kafkajs against a server: the cases of the conformance run, which comes with it from npm."""

import pathlib
import shutil
import subprocess
import sys

from walrus import SOURCE, ServerTest, environment, main

sys.path.insert(0, str(SOURCE / "tools/peers"))
import peers  # noqa: E402

CASES = pathlib.Path(__file__).parents[1] / "conformance/kafkajs_cases.cjs"


def modules():
    """Ends the test as skipped where npm cannot have it; what else ails npm is an error."""
    if not shutil.which("npm"):
        print("SKIP no npm")
        sys.exit(77)
    try:
        return peers.npm("kafkajs")
    except peers.Missing as error:
        if any(word in str(error) for word in ("ENOTFOUND", "ECONNREFUSED", "EAI_AGAIN",
                                               "ETIMEDOUT", "network")):
            print("SKIP the npm registry does not answer")
            sys.exit(77)
        raise


class Kafkajs(ServerTest):
    arguments = ("--set", "kafka.group_initial_delay_ms=0")

    def test_every_case(self):
        done = subprocess.run(["node", CASES, MODULES, self.server.kafka], capture_output=True,
                              text=True, timeout=300, env=environment())
        lines = done.stdout.splitlines()
        self.assertEqual([line for line in lines if not line.startswith("PASS ")], [],
                         done.stderr)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(lines), 8)


if __name__ == "__main__":
    MODULES = modules()
    main()
