#!/usr/bin/env python3
"""The leader of a topic is killed with SIGKILL in the middle of a stream of 100,000 lines and more,
several times, another one each time: what comes out is what went in, in order, no line lost and
none doubled. By `walrus produce` and by kcat, both idempotent.

The moments are random: WALRUS_SEED repeats a run.
"""

import os
import random
import subprocess
import time

from nodes import BINARY, ClusterTest, environment, main, wait_until

WORDS = "/usr/share/dict/words"
KILLS = 3


def seed():
    value = int(os.environ.get("WALRUS_SEED") or random.SystemRandom().randrange(2**32))
    print(f"seed {value}: WALRUS_SEED={value} python3 tests/cluster/kill_test.py", flush=True)
    return random.Random(value)


class Kill(ClusterTest):
    def setUp(self):
        super().setUp()
        with open(WORDS, "rb") as file:
            self.words = file.read()
        self.total = len(self.words.splitlines())
        self.assertGreaterEqual(self.total, 100_000)
        self.chance = seed()

    def high_watermark(self, topic):
        """As any node that is there tells it; 0 where it cannot now."""
        for node in self.cluster.alive():
            done = node.run("consume", topic, "--from", "-1", "--count", "1", "--format", "%o",
                            "--timeout-ms", "2000")
            if done.returncode == 0 and done.stdout:
                return int(done.stdout) + 1
        return 0

    def kill_leaders(self, producer, topic, spare=()):
        """One kill in each stretch; the node comes back before the next."""
        stretch = self.total * 8 // 10 // KILLS
        for kill in range(KILLS):
            place = 2_000 + kill * stretch + self.chance.randrange(stretch // 2)
            wait_until(lambda: self.high_watermark(topic) >= place, f"{place} records", 300)
            self.assertIsNone(producer.poll(), "the producer ended before the kill")
            leader = self.cluster.leader(topic)
            if leader in spare:
                continue
            time.sleep(self.chance.random() * 0.05)
            self.cluster[leader].kill9()
            begin = time.monotonic()
            before = self.high_watermark(topic)
            wait_until(lambda: self.high_watermark(topic) > before, "writes after the kill", 60)
            print(f"kill {kill + 1}: node {leader} at {before} of {self.total}, further records "
                  f"{time.monotonic() - begin:.1f} s later", flush=True)
            self.cluster[leader].start()

    def check(self, topic):
        for node in self.cluster.nodes.values():
            out = node.ok("consume", topic, "--format", "%s\\n", timeout=300)
            self.assertEqual(len(out.splitlines()), self.total)
            self.assertTrue(out == self.words, "what came out is not what went in")

    def test_walrus_produce_streams_through_kills(self):
        self.cluster[1].ok("topic", "create", "words")
        # Its own node is spared; the topic's leader need not be it.
        through = next(n for n in self.cluster.nodes if n != self.cluster.leader("words"))
        producer = subprocess.Popen(
            [BINARY, "produce", "words", WORDS, "--addr", self.cluster[through].addr,
             "--batch-records", "50", "--rate", "10000", "--retry-ms", "120000"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=environment())
        try:
            self.kill_leaders(producer, "words", spare=(through,))
            _, errors = producer.communicate(timeout=300)
            self.assertEqual(producer.returncode, 0, errors)
        finally:
            producer.kill()
            producer.wait()
        print(errors.decode().splitlines()[-1], flush=True)
        self.check("words")

    def test_kcat_streams_through_kills(self):
        self.cluster[1].ok("topic", "create", "words")
        brokers = ",".join(node.kafka for node in self.cluster.nodes.values())
        producer = subprocess.Popen(
            ["kcat", "-P", "-b", brokers, "-t", "words", "-p", "0", "-X", "enable.idempotence=true",
             "-X", "message.timeout.ms=120000", "-X", "batch.num.messages=100",
             "-X", "linger.ms=2"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=environment())
        slowly = "{print} NR % 100 == 0 {fflush(); system(\"sleep 0.01\")}"
        feeder = subprocess.Popen(["awk", slowly, WORDS], stdout=producer.stdin)
        producer.stdin.close()
        producer.stdin = None
        try:
            self.kill_leaders(producer, "words")
            _, errors = producer.communicate(timeout=300)
            self.assertEqual(producer.returncode, 0, errors)
        finally:
            for process in (feeder, producer):
                process.kill()
                process.wait()
        self.check("words")


if __name__ == "__main__":
    main()
