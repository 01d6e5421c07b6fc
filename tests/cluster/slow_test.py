#!/usr/bin/env python3
"""A copy that is slow: its process stands still for a while, or its disk takes long for each sync.
The others go on without it, `health` says so, and it catches up by itself."""

import json
import os
import pathlib
import signal
import statistics
import struct
import threading
import time

from nodes import Cluster, ClusterTest, DEADLINE, environment, main, wait_until
from walrus import Native

BUILD = pathlib.Path(os.environ.get("WALRUS_BUILD", "build/release"))
SLOW_SYNC = BUILD / "bin/walrus_slow_sync.so"
PACE = 0.02  # seconds between two records
SLOW_SECONDS = 30  # for so long a copy lacks something before it is called slow


class Writer(threading.Thread):
    """A record at a time at one node behind the first one, which is there."""

    def __init__(self, node, topic):
        super().__init__(daemon=True)
        self.node, self.topic = node, topic
        self.ended = threading.Event()
        self.written = 1
        self.took = []  # (when it was asked for, seconds until it was acknowledged)
        self.problem = None

    def run(self):
        try:
            with Native(self.node.addr) as connection:
                while not self.ended.wait(PACE):
                    asked = time.monotonic()
                    reply = connection.ask(f"APPEND {self.topic} {self.written}")
                    assert reply == b"OK %d" % self.written, reply
                    self.written += 1
                    self.took.append((asked, time.monotonic() - asked))
        except (AssertionError, OSError, EOFError) as problem:
            self.problem = problem

    def end(self):
        self.ended.set()
        self.join(DEADLINE)

    def between(self, begin, end):
        return [seconds for asked, seconds in self.took if begin <= asked < end]

    def await_more(self, count):
        wanted = self.written + count
        wait_until(lambda: self.written >= wanted or self.problem, f"{count} more records")
        assert not self.problem, self.problem


class SlowSyncs(Cluster):
    """Each node's syncs take as much longer as it is told."""

    def add(self, number):
        self.slow_down(number, 0)
        return super().add(number)

    def env_of(self, number):
        return environment(LD_PRELOAD=str(SLOW_SYNC), WALRUS_SLOW_SYNC=str(self.delay(number)))

    def delay(self, number):
        return self.directory / f"delay{number}"

    def slow_down(self, number, milliseconds):
        path = self.delay(number)
        with open(path, "r+b" if path.exists() else "wb") as file:
            file.write(struct.pack("=i", milliseconds))


class Slow(ClusterTest):
    kind = SlowSyncs

    def setUp(self):
        self.assertTrue(SLOW_SYNC.exists(), f"{SLOW_SYNC}: build the target walrus_slow_sync")
        super().setUp()
        self.cluster[1].ok("topic", "create", "t")
        self.cluster[1].ok("put", "t", "0")
        leader = self.cluster.leader("t")
        self.leader = self.cluster[leader]
        # Neither it nor who leads the metadata, where there is such a one.
        spare = [number for number in (1, 2, 3)
                 if number not in (leader, self.cluster.status()["controller"])]
        self.slow = self.cluster[spare[0]]
        self.writer = Writer(self.leader, "t")
        self.addCleanup(self.writer.end)
        self.writer.start()
        self.writer.await_more(100)

    def health(self):
        return json.loads(self.leader.run("cluster", "health", "--json").stdout)

    def check_pace(self, begin, end, what):
        """What a record takes while one copy of three is slow is what it takes otherwise."""
        before = self.writer.between(0, begin)
        during = self.writer.between(begin, end)
        print(f"{what}: median {statistics.median(before) * 1e3:.1f} ms before, "
              f"{statistics.median(during) * 1e3:.1f} ms meanwhile, {max(during) * 1e3:.0f} ms at "
              f"most of {len(during)} records", flush=True)
        self.assertLess(statistics.median(during), 3 * statistics.median(before) + 0.05)
        self.assertLess(max(during), (end - begin) / 2)

    def check_copies(self):
        """After the end of all: each has the same."""
        self.writer.end()
        self.assertIsNone(self.writer.problem)
        written = self.writer.written
        wait_until(lambda: self.leader.metrics()["walrus_replica_lagging"] == 0, "no copy lags")
        for node in self.cluster.nodes.values():
            out = node.ok("consume", "t", "--format", "%s ")
            self.assertEqual([int(word) for word in out.split()], list(range(written)))
        segments = [one["segment"] for one in self.cluster.segments("t")[0]["segments"]]
        for node in self.cluster.nodes.values():
            node.kill9()
        for node in self.cluster.nodes.values():
            streams = json.loads(node.ok("log", "inspect", node.directory, "--json"))["streams"]
            ends = {stream["name"]: stream["log_end"] for stream in streams}
            self.assertEqual(max(ends[f"__segment/{segment:016x}"] for segment in segments),
                             written)

    def test_a_process_that_stands_still_holds_up_nobody_and_catches_up(self):
        begin = time.monotonic()
        self.slow.process.send_signal(signal.SIGSTOP)
        try:
            wait_until(lambda: f"node {self.slow.number} does not answer"
                       in " ".join(self.health()["problems"]), "health names it")
            self.writer.await_more(100)
            told = self.health()
            end = time.monotonic()
        finally:
            self.slow.process.send_signal(signal.SIGCONT)
        self.assertNotEqual(told["status"], "ok")
        self.check_pace(begin, end, "stopped")
        self.cluster.await_health()
        self.check_copies()

    def test_a_disk_whose_syncs_take_long_holds_up_nobody_and_is_named(self):
        begin = time.monotonic()
        self.cluster.slow_down(self.slow.number, (SLOW_SECONDS + 5) * 1_000)
        wait_until(lambda: self.leader.metrics()["walrus_replica_lagging"] > 0, "a copy lags")
        told = wait_until(lambda: self.health()["slow_copies"], "health names the copy",
                          2 * DEADLINE)
        end = time.monotonic()
        self.cluster.slow_down(self.slow.number, 0)
        self.assertEqual({(one["topic"], one["node"]) for one in told}, {("t", self.slow.number)})
        self.assertGreater(end - begin, SLOW_SECONDS - 1)
        self.check_pace(begin, end, "slow disk")
        self.cluster.await_health()
        self.check_copies()


if __name__ == "__main__":
    main()
