#!/usr/bin/env python3
"""What compaction leaves of a topic that Kafka clients made, of three real processes: on every node
the newest record of each key under the offset that it had, whoever dies meanwhile. Of the internal
topic of group offsets, which its owner keeps small by itself, likewise the newest of each key."""

import json

import confluent_kafka as kafka
from confluent_kafka.admin import AdminClient, NewTopic
from nodes import Cluster, ClusterTest, DEADLINE, main, wait_until

SEGMENT_BYTES = 64 << 10  # the least that a topic may have
PADDING = "x" * 100  # so that 500 records are a segment
KEYS = 20


class Racks(Cluster):
    """Each node is a rack, so that a Kafka consumer can ask for the copies of one node."""

    def arguments_of(self, number):
        return [*self.arguments, "--set", f"node.rack=rack{number}"]

    def kafka(self):
        return ",".join(node.kafka for node in self.alive())


class CompactionTest(ClusterTest):
    kind = Racks
    arguments = ("--set", "log.maintenance_interval_ms=200", "--set", "log.shards=1",
                 "--set", "cluster.scrub_interval_ms=300")

    def create(self, topic, partitions=1, copies=3, **settings):
        admin = AdminClient({"bootstrap.servers": self.cluster.kafka()})
        config = {name.replace("_", "."): str(value) for name, value in settings.items()}
        made = admin.create_topics([NewTopic(topic, partitions, copies, config=config)])
        made[topic].result(DEADLINE)

    def create_compacted(self, topic, copies=3):
        self.create(topic, copies=copies, cleanup_policy="compact", segment_bytes=SEGMENT_BYTES,
                    delete_retention_ms=0)
        self.written = []  # (key, value) by offset; no value: a tombstone

    def produce(self, topic, records, meanwhile=lambda: None):
        """In order, each once; `meanwhile` when a half of them is on its way."""
        refused = []
        producer = kafka.Producer({"bootstrap.servers": self.cluster.kafka(), "linger.ms": 2,
                                   "enable.idempotence": True, "batch.num.messages": 100})
        records = list(records)
        for place, (key, value) in enumerate(records):
            if place == len(records) // 2:
                meanwhile()
            producer.produce(topic, value, key, partition=0,
                             on_delivery=lambda error, _: error and refused.append(error))
            producer.poll(0)
        self.assertEqual(producer.flush(DEADLINE), 0)
        self.assertEqual(refused, [])
        self.written += records

    def updates(self, count):
        """New values of the same few keys."""
        return [(f"key{number % KEYS}", f"{len(self.written) + number} {PADDING}")
                for number in range(count)]

    def others(self, count):
        """Keys that come but once: what seals the segments before them."""
        return [(f"once{len(self.written) + number}", PADDING) for number in range(count)]

    def compacted_to(self, topic):
        return self.cluster.segments(topic)[0]["compacted_to"]

    def await_compaction(self, topic, offset):
        wait_until(lambda: self.compacted_to(topic) >= offset, f"{topic} compacted to {offset}")

    def seen_at(self, node, topic):
        """(offset, key, value) of all records, as the node's own clients see them: of its copies
        where they are sealed."""
        out = node.ok("consume", topic, "--format", "%o %k %s\\n").decode()
        fields = [line.split(" ", 2) for line in out.splitlines()]
        return [(int(offset), key, value or None) for offset, key, value in fields]

    def seen_in_rack(self, number, topic, first=0):
        """The same by a Kafka consumer that is sent to the node's copies."""
        consumer = kafka.Consumer({
            "bootstrap.servers": self.cluster.kafka(), "client.rack": f"rack{number}",
            "group.id": "nobody", "enable.auto.commit": False, "enable.partition.eof": True,
            "auto.offset.reset": "error"})
        consumer.assign([kafka.TopicPartition(topic, 0, first)])
        seen = []

        def ended():
            for message in consumer.consume(1_000, 0.2):
                if not message.error():
                    value = message.value() and message.value().decode()
                    seen.append((message.offset(), message.key().decode(), value))
                elif message.error().code() == kafka.KafkaError._PARTITION_EOF:
                    return True
                elif not message.error().retriable():
                    raise kafka.KafkaException(message.error())
            return False
        try:
            wait_until(ended, f"the end of {topic} in rack {number}")
        finally:
            consumer.close()
        return seen

    def check(self, seen, clean):
        """Nothing is there that was not written there; of each key the newest; above `clean`
        everything; below it nothing twice, and no tombstone."""
        offsets = [offset for offset, _, _ in seen]
        self.assertEqual(offsets, sorted(set(offsets)))
        for offset, key, value in seen:
            self.assertEqual((key, value), self.written[offset])
        there = set(offsets)
        self.assertEqual([offset for offset in range(clean, len(self.written))
                          if offset not in there], [])
        newest = {key: offset for offset, (key, _) in enumerate(self.written)}
        lost = [key for key, offset in newest.items()
                if offset not in there and self.written[offset][1] is not None]
        self.assertEqual(lost, [])
        below = [(key, value) for offset, key, value in seen if offset < clean]
        self.assertEqual(len(below), len({key for key, _ in below}))
        self.assertEqual([key for key, value in below if value is None], [])

    def check_everywhere(self, topic):
        """What is left: on each node the same."""
        self.cluster.await_health()
        clean = self.compacted_to(topic)
        views = {}
        for number, node in self.cluster.nodes.items():
            wait_until(lambda node=node: self.seen_at(node, topic)[-1][0] == len(self.written) - 1,
                       f"the newest record at node {number}")
            views[number] = self.seen_at(node, topic)
            self.check(views[number], clean)
            self.assertEqual(self.seen_in_rack(number, topic), views[number])
        self.assertEqual(len({tuple(view) for view in views.values()}), 1)
        return views[1]

    def stored(self, topic):
        """Bytes of the copies of its sealed segments, by node; told when all have ended."""
        copies = [segment.get("copy", segment["segment"])
                  for segment in self.cluster.segments(topic)[0]["segments"]
                  if segment["state"] == "sealed"]
        self.assertEqual(set(self.cluster.stop().values()), {0})
        stored = []
        for node in self.cluster.nodes.values():
            streams = json.loads(node.ok("log", "inspect", node.directory, "--json"))["streams"]
            sizes = {stream["name"]: stream["bytes"] for stream in streams}
            stored.append([sizes.get(f"__segment/{copy:016x}") for copy in copies])
        return stored


class Compaction(CompactionTest):
    def test_newest_of_each_key_stays_on_every_node_whoever_dies(self):
        self.create_compacted("t")
        self.produce("t", self.updates(3_000))
        self.produce("t", [("key3", None)])
        updated = len(self.written)
        self.produce("t", self.others(2_500))
        self.await_compaction("t", updated)
        seen = self.check_everywhere("t")
        self.assertLess(len(seen), 2_500 + 2 * KEYS)
        self.assertNotIn("key3", [key for _, key, _ in seen])
        # From an offset that is gone a reader goes on at the next one that is there.
        self.assertGreater(seen[0][0], 5)
        for number, node in self.cluster.nodes.items():
            self.assertEqual(self.seen_in_rack(number, "t", 5), seen)
            out = node.ok("consume", "t", "--from", "5", "--count", "1", "--format", "%o")
            self.assertEqual(int(out), seen[0][0])
        # The leader dies while new values are written. Its copies are waited for.
        dead = self.cluster[self.cluster.leader("t")]
        self.produce("t", self.updates(3_000), meanwhile=dead.kill9)
        updated = len(self.written)
        self.produce("t", self.others(2_500))
        dead.start()
        self.await_compaction("t", updated)
        seen = self.check_everywhere("t")
        self.assertLess(len(seen), 5_000 + 2 * KEYS)
        # All die.
        for node in self.cluster.nodes.values():
            node.kill9()
        self.cluster.start()
        self.check_everywhere("t")
        stored = self.stored("t")
        self.assertEqual(stored[1:], stored[:-1])
        self.assertNotIn(None, stored[0])

    def test_damage_is_told_by_the_segment_that_the_operator_knows(self):
        """A copy of a compacted segment has an id of its own."""
        self.create_compacted("single", copies=1)
        kept = "kept " + PADDING
        self.produce("single", self.updates(500) + [("kept", kept)] + self.updates(1_500))
        updated = len(self.written)
        self.produce("single", self.others(2_500))
        self.await_compaction("single", updated)
        segment = next(one for one in self.cluster.segments("single")[0]["segments"]
                       if one["end_offset"] > 500)
        self.assertNotEqual(segment["copy"], segment["segment"])
        holder = self.cluster[segment["replicas"][0]]
        holder.rot(kept.encode())

        def damaged():
            done = self.cluster[1].run("cluster", "health", "--json")
            return json.loads(done.stdout)["damaged_copies"]
        told = wait_until(damaged, "the damage is told")
        self.assertEqual(told, [{"topic": "single", "partition": 0, "segment": segment["segment"],
                                 "node": holder.number}])
        out = self.cluster[1].run("cluster", "health").stdout.decode()
        self.assertIn(f"single/0: the copy of segment {segment['segment']} on node "
                      f"{holder.number} is damaged", out)


class GroupOffsets(CompactionTest):
    # Far more than what ends an open segment: a MiB of it that is superseded, some 40,000 commits.
    partitions, commits = 100, 1_200

    def test_the_newest_offset_of_each_partition_stays_whoever_coordinates(self):
        """Commits of many partitions again and again: many more than are let lie (20,000)."""
        self.create("many", self.partitions, copies=1)
        for number in range(1, self.commits + 1):
            self.commit(number)
        total = self.commits * self.partitions
        # What was superseded goes, in whole segments, from the disks of all nodes.
        for number, node in self.cluster.nodes.items():
            wait_until(lambda node=node: self.partitions <= self.held(node) < 2 * total // 3,
                       f"superseded offsets go from node {number}")
        wanted = [self.commits] * self.partitions
        self.assertEqual(self.committed(), wanted)
        for node in self.cluster.nodes.values():
            node.kill9()
            self.assertEqual(self.committed(), wanted)
            node.start()
            self.cluster.await_health()
        for node in self.cluster.nodes.values():
            node.kill9()
        self.cluster.start()
        self.assertEqual(self.committed(), wanted)
        self.commit(self.commits + 1)
        self.assertEqual(self.committed(), [self.commits + 1] * self.partitions)

    def held(self, node):
        """Records of the copies on its disk; there are no others."""
        streams = json.loads(node.ok("log", "inspect", node.directory, "--json"))["streams"]
        return sum(stream["log_end"] - stream["log_start"] for stream in streams
                   if stream["name"].startswith("__segment/"))

    def consumer(self):
        return kafka.Consumer({"bootstrap.servers": self.cluster.kafka(), "group.id": "readers",
                               "enable.auto.commit": False})

    def commit(self, offset):
        if not hasattr(self, "committer"):
            self.committer = self.consumer()
            self.addCleanup(self.committer.close)
        self.committer.commit(offsets=[kafka.TopicPartition("many", partition, offset)
                                       for partition in range(self.partitions)], asynchronous=False)

    def committed(self):
        consumer = self.consumer()
        parts = [kafka.TopicPartition("many", number) for number in range(self.partitions)]
        try:
            return [one.offset for one in consumer.committed(parts, timeout=DEADLINE)]
        finally:
            consumer.close()


if __name__ == "__main__":
    main()
