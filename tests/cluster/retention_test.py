#!/usr/bin/env python3
"""What goes from the topics of a cluster by their size: on every node, for good."""

import json

from nodes import ClusterTest, main, wait_until

KIB = 1 << 10


class Retention(ClusterTest):
    arguments = ("--set", "log.maintenance_interval_ms=200")

    def stored(self, node):
        """Bytes of the streams that the node keeps: its copies, above all."""
        streams = json.loads(node.ok("log", "inspect", node.directory, "--json"))["streams"]
        return sum(stream["bytes"] for stream in streams)

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
        wait_until(lambda: self.log_start("t", one) > 2_000, "a log start")
        three.start()
        start = self.log_start("t", one)
        below = two.run("consume", "t", "--from", "0", "--count", "1")
        self.assertIn(b"out of range", below.stderr + below.stdout)
        for node in self.cluster.nodes.values():
            node.kill9()
        self.cluster.start()
        for node in self.cluster.nodes.values():
            self.assertGreaterEqual(self.log_start("t", node), start)
            wait_until(lambda n=node: 0 < self.stored(n) < 1_500 * KIB, "room on a node")
        out = one.ok("consume", "t", "--format", "%s\\n")
        self.assertEqual(out.split()[-1], b"%02000d" % 2_699)


if __name__ == "__main__":
    main()
