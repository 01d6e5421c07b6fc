#!/usr/bin/env python3
"""What compaction leaves of a topic of a cluster: on every node the same, for Kafka too."""

import json

from kafka_test import kcat
from nodes import ClusterTest, main, wait_until

KEYS, RECORDS = 20, 3_000


class Compaction(ClusterTest):
    arguments = ("--set", "log.maintenance_interval_ms=200")

    def produce(self, node, lines):
        kcat("-P", "-b", node.kafka, "-t", "t", "-K:", "-Z", "-X", "enable.idempotence=true",
             input="".join(line + "\n" for line in lines).encode())

    def records(self, node):
        """(offset, key, value) of all that the node's own clients see."""
        out = node.ok("consume", "t", "--format", "%o %k %s\\n").decode()
        fields = [line.split(" ") for line in out.splitlines()]
        return [(int(offset), key, value) for offset, key, value in fields]

    def compacted(self):
        """How many segments are kept in copies that compaction made."""
        chain = self.cluster.segments("t")[0]["segments"]
        return sum("copy" in segment for segment in chain)

    def test_newest_value_of_each_key_stays_and_offsets_with_it(self):
        one, two, three = (self.cluster[number] for number in (1, 2, 3))
        one.ok("topic", "create", "t", "--set", "segment_records_max=500", "--set", "compact=true",
               "--set", "tombstone_ms=0")
        padding = "x" * 100
        self.produce(two, [f"key{n % KEYS}:{n}-{padding}" for n in range(RECORDS)])
        self.produce(three, ["key3:"])  # a tombstone
        self.produce(one, [f"last{n}:{n}" for n in range(1_000)])  # and what seals its segment
        wait_until(lambda: len(self.records(one)) < 1_000 + KEYS + 500, "a compacted topic")
        kept = self.records(one)
        newest = {f"key{n % KEYS}": (n, f"{n}-{padding}") for n in range(RECORDS)}
        del newest["key3"]
        for offset, key, value in kept:
            if key in newest and offset >= RECORDS - KEYS:
                self.assertEqual((offset, value), newest.pop(key))
        self.assertEqual(newest, {})
        self.assertGreater(self.compacted(), 3)

        # A node that is away does not stop it from being read, and has the same afterwards.
        two.kill9()
        self.produce(three, [f"late{n}:{n}" for n in range(700)])
        two.start()
        for node in self.cluster.nodes.values():
            wait_until(lambda n=node: self.records(n)[-1][1] == "late699", "all records on a node")
        wait_until(lambda: len({tuple(self.records(node)) for node in self.cluster.nodes.values()})
                   == 1, "nodes that show the same")

        # From an offset that is gone a consumer goes on at the next one; so it is by time.
        out = kcat("-C", "-b", three.kafka, "-t", "t", "-o", "5", "-c", "1", "-q", "-f", "%o\n")
        self.assertEqual(int(out), self.records(one)[0][0])
        asked = json.loads(kcat("-Q", "-J", "-b", one.kafka, "-t", "t:0:1"))
        self.assertEqual(asked["t"]["partitions"][0]["offset"], self.records(one)[0][0])


if __name__ == "__main__":
    main()
