#!/usr/bin/env python3
"""The main job on real input: a file of 100,000 and more distinct lines goes through `walrus
produce` into a server that is killed with SIGKILL several times in the middle of it, and comes out
of `walrus consume` byte for byte, no line lost and none doubled.

The moments are random: WALRUS_SEED repeats a run. Each kill is shown to have hit batches that were
sent and not acknowledged.
"""

import os
import random
import re
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from walrus import BINARY, Server, environment, main, wait_until

WORDS = "/usr/share/dict/words"
KILLS = 4


class Lines:
    """Collects the lines of a pipe on a thread of its own."""

    def __init__(self, stream):
        self.lines = []
        self.stream = stream
        self.thread = threading.Thread(target=self.collect, daemon=True)
        self.thread.start()

    def collect(self):
        for line in self.stream:
            self.lines.append(line.decode(errors="replace").rstrip("\n"))

    def matching(self, pattern):
        return [m for m in (re.search(pattern, line) for line in list(self.lines)) if m]


class Kill9Stream(unittest.TestCase):
    def test_a_killed_server_loses_and_doubles_no_line(self):
        seed = int(os.environ.get("WALRUS_SEED") or random.SystemRandom().randrange(2**32))
        print(f"seed {seed}: WALRUS_SEED={seed} python3 tests/e2e/kill9_stream_test.py", flush=True)
        chance = random.Random(seed)
        with open(WORDS, "rb") as file:
            words = file.read()
        lines = words.splitlines(keepends=True)
        self.assertGreaterEqual(len(lines), 100_000)
        self.assertEqual(len(lines), len(set(lines)), "the input's lines are distinct")
        self.assertTrue(words.endswith(b"\n"))

        with tempfile.TemporaryDirectory(prefix="walrus-e2e-") as directory:
            server = Server(os.path.join(directory, "data")).start()
            try:
                server.ok("topic", "create", "words")
                self.stream(server, chance, len(lines))
                out = server.ok("consume", "words", "--format", "%s\\n", timeout=300)
                self.assertEqual(len(out.splitlines()), len(lines))
                self.assertTrue(out == words, "what came out is not what went in")
                self.assertEqual(server.high_watermark("words"), len(lines))
                self.assertEqual(server.stop(), 0)
                server.start()
                self.assertTrue(server.ok("consume", "words", timeout=300) == words)
            finally:
                server.close()

    def stream(self, server, chance, total):
        # Batches so small that the disk, not the input, sets the pace: at any moment some are
        # under way.
        producer = subprocess.Popen(
            [BINARY, "produce", "words", WORDS, "--addr", server.addr, "--batch-records", "20",
             "--rate", "12000",
             "--retry-ms", "120000"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=environment())
        errors = Lines(producer.stderr)
        try:
            # One kill in each stretch of the stream, at a place and a delay of chance.
            stretch = total * 8 // 10 // KILLS
            for kill in range(KILLS):
                place = 2_000 + kill * stretch + chance.randrange(stretch // 2)
                acknowledged = wait_until(
                    lambda: (lambda n: n if n >= place else 0)(server.high_watermark("words")),
                    f"{place} records acknowledged", 300)
                self.assertIsNone(producer.poll(), "the producer ended before the kill")
                # Stopped first: what the producer sends now is under way when the kill comes.
                server.process.send_signal(signal.SIGSTOP)
                time.sleep(0.02 + chance.random() * 0.05)
                server.kill9()
                lost = r"connection lost, (\d+) batches unacknowledged"
                notice = wait_until(lambda: errors.matching(lost)[kill:],
                                    "the producer's notice of a lost connection")[0]
                print(f"kill {kill + 1} after {acknowledged} records: {notice.group(1)} batches"
                      " unacknowledged", flush=True)
                self.assertGreaterEqual(int(notice.group(1)), 1, "no batch was under way")
                server.start()
                self.assertGreaterEqual(server.high_watermark("words"), acknowledged)
            self.assertEqual(producer.wait(300), 0, errors.lines)
        finally:
            if producer.poll() is None:
                producer.kill()
                producer.wait()
            errors.thread.join()
            producer.stderr.close()
        summary = re.fullmatch(r"produced (\d+) records (\d+) bytes offsets (\d+)\.\.(\d+)"
                               r" retries (\d+)", errors.lines[-1])
        self.assertIsNotNone(summary, errors.lines)
        print(summary.group(0), flush=True)
        records, _, first, last, retries = (int(group) for group in summary.groups())
        self.assertEqual((records, first, last), (total, 0, total - 1))
        self.assertGreaterEqual(retries, KILLS)


if __name__ == "__main__":
    main()
