#!/usr/bin/env python3
"""Kafka clients of a cluster: any node to begin with, the right one from then on."""

import json
import pathlib
import subprocess
import sys
import time

from nodes import ClusterTest, DEADLINE, environment, main

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "conformance"))
import raw_socket  # noqa: E402


def kcat(*words, input=b""):
    done = subprocess.run(["kcat", *(str(word) for word in words)], input=input,
                          capture_output=True, timeout=DEADLINE, env=environment())
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


class Kafka(ClusterTest):
    def test_metadata_names_all_nodes_and_the_leaders(self):
        self.cluster[1].ok("topic", "create", "t", "--partitions", "6")
        for partition in range(6):
            self.cluster[1].ok("put", f"t/{partition}", "x")
        leaders = {number: segment["leader"]
                   for number, segment in enumerate(self.cluster.segments("t"))}
        for node in self.cluster.nodes.values():
            told = json.loads(kcat("-L", "-J", "-b", node.kafka))
            self.assertEqual({one["id"]: one["name"] for one in told["brokers"]},
                             {one.number: one.kafka for one in self.cluster.nodes.values()})
            topic = next(one for one in told["topics"] if one["topic"] == "t")
            self.assertEqual({one["partition"]: one["leader"] for one in topic["partitions"]},
                             leaders)
            for one in topic["partitions"]:
                self.assertEqual(sorted(replica["id"] for replica in one["replicas"]), [1, 2, 3])

    def test_written_by_one_bootstrap_node_read_by_another(self):
        lines = b"".join(b"line %d\n" % number for number in range(1_000))
        for number in (1, 2, 3):
            topic = f"t{number}"
            self.cluster[number].ok("topic", "create", topic)
            kcat("-P", "-b", self.cluster[number].kafka, "-t", topic, "-X",
                 "enable.idempotence=true", input=lines)
            other = self.cluster[1 + number % 3]
            out = kcat("-C", "-b", other.kafka, "-t", topic, "-o", "beginning", "-e", "-q")
            self.assertEqual(out, lines)
            self.assertEqual(self.cluster.any().ok("consume", topic, "--format", "%s\\n"), lines)

    def test_who_asks_when_a_leader_died_is_told_of_the_next(self):
        """Told that nobody leads, clients pause; so that answer is not given at once."""
        partitions = 30
        self.cluster[1].ok("topic", "create", "t", "--partitions", str(partitions))
        for partition in range(partitions):
            self.cluster[1].ok("put", f"t/{partition}", "x")
        dead = self.cluster.leader("t")
        asked = next(node for node in self.cluster.nodes.values() if node.number != dead)
        with raw_socket.connect(asked.kafka) as connection:
            raw_socket.partitions(connection, "t")
            self.cluster[dead].kill9()
            begin = time.monotonic()
            leaders = [leader for leader, _ in raw_socket.partitions(connection, "t").values()]
            took = time.monotonic() - begin
        print(f"after {took:.3f} s {leaders.count(-1)} of {partitions} lack one", flush=True)
        self.assertNotIn(dead, leaders)
        if -1 in leaders:  # a busy machine: it was waited for
            self.assertGreater(took, 0.15)

    def test_group_reads_all_and_goes_on_where_it_was(self):
        self.cluster[1].ok("topic", "create", "t", "--partitions", "3")
        lines = [f"{number}" for number in range(300)]
        kcat("-P", "-b", self.cluster[2].kafka, "-t", "t", input="\n".join(lines).encode() + b"\n")
        out = kcat("-b", self.cluster[3].kafka, "-G", "readers", "-e", "-q", "-X",
                   "auto.offset.reset=earliest", "t")
        self.assertEqual(sorted(out.decode().split(), key=int), lines)
        kcat("-P", "-b", self.cluster[1].kafka, "-t", "t", input=b"300\n")
        out = kcat("-b", self.cluster[1].kafka, "-G", "readers", "-e", "-q", "-X",
                   "auto.offset.reset=earliest", "t")
        self.assertEqual(out, b"300\n")


if __name__ == "__main__":
    main()
