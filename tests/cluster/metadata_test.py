#!/usr/bin/env python3
"""The node that leads the metadata stands still, or its disk is full to the last block: another one
leads, and writes go on wherever they go."""

import json
import os
import signal
import threading
import time

from nodes import ClusterTest, DEADLINE, SmallDiskTest, main, wait_until
from walrus import Native

MIB = 1 << 20
PARTITIONS = 6
PACE = 0.05  # seconds between two records of a partition


class Writer(threading.Thread):
    """A record at a time of one partition, through one node."""

    def __init__(self, node, partition):
        super().__init__(daemon=True)
        self.node, self.partition = node, partition
        self.ended = threading.Event()
        self.answers = []  # (when it was asked for, when it was answered, the reply)
        self.problem = None

    def run(self):
        try:
            with Native(self.node.addr) as connection:
                while not self.ended.wait(PACE):
                    asked = time.monotonic()
                    reply = connection.ask(f"APPEND t/{self.partition} {len(self.answers)}")
                    self.answers.append((asked, time.monotonic(), reply))
        except (OSError, EOFError) as problem:
            self.problem = problem

    def acknowledged(self):
        return [(asked, done) for asked, done, reply in self.answers if reply.startswith(b"OK ")]

    def refused(self):
        return [reply for _, _, reply in self.answers if not reply.startswith(b"OK ")]

    def longest(self):
        """Seconds from one acknowledgement to the next."""
        ends = [done for _, done in self.acknowledged()]
        return max(after - before for before, after in zip(ends, ends[1:]))


class MetadataTest(ClusterTest):
    def controller(self, other_than=None):
        """Who leads the metadata, as one of the others tells."""
        def leads():
            for node in self.cluster.alive():
                if node.number == other_than:
                    continue
                done = node.run("cluster", "status", "--json", "--timeout-ms", "5000")
                found = json.loads(done.stdout)["controller"] if done.returncode == 0 else None
                if found and found != other_than:
                    return found
            return None
        return wait_until(leads, "a leader of the metadata")

    def begin(self, through):
        """Writes to every partition through a node, until they go on everywhere."""
        self.writers = [Writer(through, partition) for partition in range(PARTITIONS)]
        for writer in self.writers:
            self.addCleanup(writer.ended.set)
            writer.start()
        self.await_writes(time.monotonic())

    def await_writes(self, since):
        wait_until(lambda: all(any(asked >= since for asked, _ in writer.acknowledged()[-1:])
                               for writer in self.writers), "writes of all partitions")

    def end(self):
        for writer in self.writers:
            writer.ended.set()
        for writer in self.writers:
            writer.join(DEADLINE)
            self.assertIsNone(writer.problem)

    def check(self):
        """What was acknowledged is on every node; nothing else but what was answered otherwise."""
        for node in self.cluster.nodes.values():
            for writer in self.writers:
                out = node.ok("consume", "t", "--partition", writer.partition, "--format", "%s ")
                seen = [int(word) for word in out.split()]
                self.assertEqual(seen, sorted(set(seen)))
                missing = [number for number, (_, _, reply) in enumerate(writer.answers)
                           if reply.startswith(b"OK ") and number not in set(seen)]
                self.assertEqual(missing, [])

    def leaders(self, node):
        return [part["leader"] for part in self.cluster.segments("t", node)]


class Stopped(MetadataTest):
    def test_writes_go_on_while_it_stands_still(self):
        self.cluster[1].ok("topic", "create", "t", "--partitions", PARTITIONS)
        stopped = self.controller()
        through = self.cluster[1 + stopped % 3]
        self.begin(through)
        leaders = self.leaders(through)
        self.cluster[stopped].process.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        try:
            self.await_writes(begin)
            seconds = time.monotonic() - begin
            new = self.controller(stopped)
            self.await_writes(time.monotonic())
        finally:
            self.cluster[stopped].process.send_signal(signal.SIGCONT)
        self.await_writes(time.monotonic())
        self.cluster.await_health()
        self.end()
        others = [writer for writer, leader in zip(self.writers, leaders) if leader != stopped]
        led = [writer for writer, leader in zip(self.writers, leaders) if leader == stopped]
        self.assertTrue(others)
        print(f"node {stopped} stood still, node {new} led: all partitions written after "
              f"{seconds:.2f} s; at most {max(map(Writer.longest, others)):.2f} s without an "
              f"acknowledgement at others", flush=True)
        # Whoever writes elsewhere does not notice it: leases outlast an election.
        self.assertEqual([reply for writer in others for reply in writer.refused()], [])
        self.assertLess(seconds, 6)
        # What it led itself: a write whose outcome is not known, at most.
        for writer in led:
            self.assertLessEqual(len(writer.refused()), 1, writer.refused())
        self.check()


class FullDisk(SmallDiskTest, MetadataTest):
    free_min = MIB

    def fill(self):
        """To the last block, whatever the node does meanwhile."""
        with open(os.path.join(self.mount, "fill"), "ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(64 << 10))
            except OSError:
                pass
            try:
                while True:
                    file.write(bytes(4 << 10))
            except OSError:
                pass

    def free(self):
        os.remove(os.path.join(self.mount, "fill"))

    def make_controller(self, number):
        """Each time that a leader ends in good order, another one takes over."""
        while (leads := self.controller()) != number:
            self.assertEqual(self.cluster[leads].stop(), 0)
            self.cluster[leads].start()
            self.cluster.await_health()

    def health_of_full(self, node):
        """Who leads the metadata since a moment ago has yet to be told."""
        def told():
            health = json.loads(node.run("cluster", "health", "--json").stdout)
            return health["full_nodes"] == [2] and health
        return wait_until(told, "node 2 is told to be full")

    def test_another_one_leads_and_it_comes_back_without_a_restart(self):
        one, two = self.cluster[1], self.cluster[2]
        one.ok("topic", "create", "t", "--partitions", PARTITIONS)
        self.make_controller(2)
        self.begin(one)
        self.fill()
        full = time.monotonic()
        new = self.controller(2)
        wait_until(lambda: 2 not in self.leaders(one), "node 2 writes nothing")
        print(f"node {new} led {time.monotonic() - full:.2f} s later", flush=True)
        self.await_writes(time.monotonic())
        self.assertEqual(self.health_of_full(one)["status"], "degraded")
        one.ok("topic", "create", "made")  # metadata is written, too
        self.assertIn(b"made", two.ok("topic", "list", "--quiet"))
        self.free()
        self.cluster.await_health()
        wait_until(lambda: 2 in self.leaders(one), "node 2 is used again")
        self.await_writes(time.monotonic())
        self.end()
        self.assertEqual([writer.refused() for writer in self.writers], [[]] * PARTITIONS)
        print(f"at most {max(map(Writer.longest, self.writers)):.2f} s without an acknowledgement",
              flush=True)
        self.check()


if __name__ == "__main__":
    main()
