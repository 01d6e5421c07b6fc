#!/usr/bin/env python3
"""What goes from the topics of a cluster: by size, by a trim, on every node, for good; and what a
producer notices of a partition that changes hands."""

import pathlib
import subprocess
import time

from nodes import ClusterTest, DEADLINE, environment, main, wait_until

KIB = 1 << 10


class Retention(ClusterTest):
    arguments = ("--set", "log.maintenance_interval_ms=200")

    def stored(self, node):
        """Bytes of segment files."""
        root = pathlib.Path(node.directory)
        return sum(file.stat().st_size for file in root.rglob("segments/*") if file.is_file())

    def log_start(self, topic, node):
        return self.cluster.segments(topic, node)[0]["segments"][0]["base_offset"]

    def produce(self, node, topic, records, size):
        lines = b"".join(b"%0*d\n" % (size, number) for number in range(records))
        node.ok("produce", topic, input=lines)

    def test_room_comes_back_on_all_nodes_and_stays(self):
        one, two, three = (self.cluster[n] for n in (1, 2, 3))
        one.ok("topic", "create", "t", "--set", "segment_records_max=100", "--set",
               f"retention_bytes={600 * KIB}")
        self.produce(two, "t", 300, 2_000)
        three.kill9()
        self.produce(two, "t", 2_700, 2_000)
        for node in (one, two):
            wait_until(lambda n=node: self.stored(n) < 1_500 * KIB, "room on a node")
        three.start()
        wait_until(lambda: self.stored(three) < 1_500 * KIB, "room on the node that was away")
        start = wait_until(lambda: self.log_start("t", one), "a log start")
        self.assertGreater(start, 2_000)
        below = two.run("consume", "t", "--from", "0", "--count", "1")
        self.assertIn(b"out of range", below.stderr + below.stdout)
        for node in self.cluster.nodes.values():
            node.kill9()
        self.cluster.start()
        for node in self.cluster.nodes.values():
            self.assertGreaterEqual(self.log_start("t", node), start)
        out = one.ok("consume", "t", "--format", "%s\\n")
        self.assertEqual(out.split()[-1], b"%02000d" % 2_699)

    def test_a_drain_costs_a_kafka_producer_nothing(self):
        one = self.cluster[1]
        one.ok("topic", "create", "t")
        one.ok("put", "t", "first")
        leader = self.cluster.leader("t")
        producer = subprocess.Popen(
            ["kcat", "-P", "-b", self.cluster[leader].kafka, "-t", "t", "-X",
             "enable.idempotence=true", "-X", "linger.ms=1"],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        sent = 0

        def send(seconds):
            nonlocal sent
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                producer.stdin.write(b"%d\n" % sent)
                producer.stdin.flush()
                sent += 1
                time.sleep(0.001)  # a producer's pace
        send(1)
        one.ok("cluster", "drain", leader)
        send(3)
        _, errors = producer.communicate(timeout=DEADLINE)
        self.assertEqual((producer.returncode, errors.count(b"ERROR")), (0, 0), errors)
        self.assertNotEqual(self.cluster.leader("t"), leader)
        out = one.ok("consume", "t", "--format", "%s\\n").split()
        self.assertEqual(out, [b"first", *(b"%d" % number for number in range(sent))])


if __name__ == "__main__":
    main()
