#!/usr/bin/env python3
"""Disks of real processes that are lost, full, or rot, and copies that are missing: what the
cluster does about it, and what it says."""

import json
import os
import shutil
import time

from nodes import ClusterTest, SmallDiskTest, main, wait_until, walrus
from walrus import Native

MIB = 1 << 20


class Disks(ClusterTest):
    arguments = ("--set", "log.shards=1", "--set", "cluster.scrub_interval_ms=300")

    def health(self, node):
        return json.loads(node.run("cluster", "health", "--json").stdout)

    def gauge(self, name):
        """Of all nodes that are there the greatest: only the controller tells it."""
        return max(node.metrics()[name] for node in self.cluster.alive())

    def total(self, name):
        return sum(node.metrics()[name] for node in self.cluster.alive())

    def replicas(self, topic, node):
        return [sorted(segment["replicas"]) for part in self.cluster.segments(topic, node)
                for segment in part["segments"]]

    def test_what_lacks_copies_is_named_and_made_again(self):
        one, three = self.cluster[1], self.cluster[3]
        one.ok("topic", "create", "orders", "--set", "walrus.segment.records=10")
        three.kill9()
        for number in range(25):
            one.ok("put", "orders", f"{number}")
        wait_until(lambda: [1, 2] in self.replicas("orders", one), "a segment on two nodes")

        def named():
            lacking = self.health(one)["under_replicated_segments"]
            mine = [entry for entry in lacking if entry["topic"] == "orders"]
            return len(mine) >= 3 and mine
        for entry in wait_until(named, "sealed and open segments are named"):
            self.assertEqual((entry["copies"], entry["wanted"]), (2, 3), entry)
        wait_until(lambda: self.gauge("walrus_cluster_under_replicated")
                   == self.health(one)["under_replicated"] >= 3, "the gauge tells the same")
        three.start()
        self.cluster.await_health("ok", one)
        for replicas in self.replicas("orders", one):
            self.assertEqual(replicas, [1, 2, 3])
        wait_until(lambda: self.gauge("walrus_cluster_under_replicated") == 0, "the gauge is 0")
        out = three.ok("consume", "orders", "--format", "%s ")
        self.assertEqual([int(word) for word in out.split()], list(range(25)))

    def test_a_wiped_disk_is_filled_in_seconds(self):
        """Many segments of little each, as a failover leaves them."""
        one, three = self.cluster[1], self.cluster[3]
        one.ok("topic", "create", "many", "--partitions", "40", "--set",
               "walrus.segment.records=1")
        with Native(one.addr) as connection:
            for number in range(400):
                self.assertEqual(connection.ask(f"PUT many/{number % 40} {number}"), b"OK")
        self.assertGreater(len(self.replicas("many", one)), 300)
        three.kill9()
        shutil.rmtree(self.path("node3"))
        begun = time.monotonic()
        three.start()
        wait_until(lambda: self.health(one)["status"] == "ok"
                   and all(replicas == [1, 2, 3] for replicas in self.replicas("many", one)),
                   "every copy is there again", 60)
        print(f"{len(self.replicas('many', one))} segments: {time.monotonic() - begun:.1f} s",
              flush=True)
        self.assertLess(time.monotonic() - begun, 30)
        self.assertGreater(three.metrics()["walrus_replica_repaired_bytes_total"], 0)

    def test_what_rots_unread_is_mended_from_another_copy(self):
        one, two = self.cluster[1], self.cluster[2]
        one.ok("topic", "create", "kept", "--set", "walrus.segment.records=10")
        expected = [b"record %03d of them" % number for number in range(25)]
        for record in expected:
            one.ok("put", "kept", record.decode())
        two.rot(expected[7])
        wait_until(lambda: two.metrics()["walrus_replica_copies_mended_total"] == 1, "it is mended")
        self.assertEqual(two.metrics()["walrus_replica_copies_damaged_total"], 1)
        self.assertEqual(two.metrics()["walrus_replica_damaged"], 0)
        self.cluster.await_health("ok", one)
        for node in (one, self.cluster[3]):
            node.kill9()
        # Alone it has all that is sealed.
        rounds = two.metrics()["walrus_replica_scrub_rounds_total"]
        wait_until(lambda: two.metrics()["walrus_replica_scrub_rounds_total"] > rounds + 1,
                   "it looks again")
        self.assertEqual(two.metrics()["walrus_replica_damaged"], 0)
        two.stop()
        done = walrus("log", "verify", two.directory)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_what_cannot_be_mended_is_told(self):
        one = self.cluster[1]
        one.ok("topic", "create", "single", "--replication-factor", "1", "--set",
               "walrus.segment.records=10")
        expected = [b"record %03d of them" % number for number in range(25)]
        for record in expected:
            one.ok("put", "single", record.decode())
        holder = self.cluster[self.cluster.leader("single")]
        holder.rot(expected[3])
        damaged = wait_until(lambda: self.health(one)["damaged_copies"], "the damage is told")
        self.assertEqual((damaged[0]["topic"], damaged[0]["node"]), ("single", holder.number))
        self.assertEqual(self.health(one)["status"], "degraded")
        self.assertEqual(holder.metrics()["walrus_replica_damaged"], 1)
        out = one.ok("consume", "single", "--from", "4", "--count", "21", "--format", "%s\\n")
        self.assertEqual(out.splitlines(), expected[4:])

    def test_where_too_few_have_room_writes_are_refused_and_reads_go_on(self):
        one = self.cluster[1]
        one.ok("topic", "create", "t")
        one.ok("put", "t", "before")
        for number in (2, 3):
            node = self.cluster[number]
            self.assertEqual(node.stop(), 0)
            node.arguments += ["--set", f"limits.disk_free_bytes_min={1 << 60}"]
            node.start()
        wait_until(lambda: self.health(one)["full_nodes"] == [2, 3], "two disks are full")

        def refused():
            done = one.run("put", "t", "more")
            return done.returncode == 1 and done.stderr
        self.assertIn(b"storage full", wait_until(refused, "a put to be refused"))
        self.assertIn(b"before", one.ok("consume", "t", "--format", "%s\\n"))
        self.assertEqual(one.ok("get", "t"), b"before\n")  # and what it has read is remembered
        for number in (2, 3):
            node = self.cluster[number]
            self.assertEqual(node.stop(), 0)
            node.arguments = node.arguments[:-2]
            node.start()
        wait_until(lambda: one.run("put", "t", "after").returncode == 0, "writes go on")
        self.cluster.await_health("ok", one)

    def test_a_node_with_too_small_a_journal_says_what_it_needs(self):
        node = self.cluster[2]
        self.assertEqual(node.stop(), 0)
        small = ["--set", "topic.batch_bytes_max=65536", "--set", "log.journal_bytes_max=2097152"]
        done = walrus("serve", "--data-dir", node.directory, "--listen", "127.0.0.1:0",
                      "--kafka-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
                      *node.arguments, *small)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"log.journal_bytes_max = 2097152: a node of a cluster needs 4210688",
                      done.stderr)
        node.start()


class SmallJournals(ClusterTest):
    arguments = ("--set", "log.shards=1", "--set", f"log.journal_bytes_max={5 * MIB}")

    def test_a_cluster_with_small_journals(self):
        one = self.cluster[1]
        one.ok("topic", "create", "t", "--partitions", "3")
        payload = b"x" * 500_000
        for number in range(30):
            one.ok("put", f"t/{number % 3}", "-", input=b"%d " % number + payload)
        for node in self.cluster.nodes.values():
            node.kill9()
        self.cluster.start()
        for partition in range(3):
            out = self.cluster[3].ok("consume", "t", "--partition", partition, "--format", "%s\\n")
            self.assertEqual([int(line.split()[0]) for line in out.splitlines()],
                             list(range(partition, 30, 3)))


class FullDisk(SmallDiskTest):
    free_min = 32 * MIB

    def test_leads_nothing_while_it_is_full_and_is_used_again(self):
        one, two = self.cluster[1], self.cluster[2]
        one.ok("topic", "create", "t", "--partitions", "6")
        written = [0] * 6

        def put(through):
            for partition in range(6):
                through.ok("put", f"t/{partition}", f"{written[partition]}")
                written[partition] += 1

        def tails():
            return [part["segments"][-1] for part in self.cluster.segments("t", one)]

        def in_use():
            return (any(tail["leader"] == 2 for tail in tails())
                    and all(2 in tail["replicas"] for tail in tails()))
        put(one)
        wait_until(in_use, "node 2 leads some")
        free = os.statvfs(self.mount)
        fill = os.path.join(self.mount, "fill")
        with open(fill, "wb") as file:
            file.write(bytes(free.f_bavail * free.f_frsize - 8 * MIB))
        put(two)
        wait_until(lambda: all(2 not in tail["replicas"] for tail in tails()),
                   "node 2 writes nothing any more")
        put(two)  # any node answers any client
        health = json.loads(one.run("cluster", "health", "--json").stdout)
        self.assertEqual((health["status"], health["full_nodes"]), ("degraded", [2]))
        self.assertEqual(two.metrics()["walrus_storage_low"], 1)
        os.remove(fill)
        wait_until(in_use, "node 2 is used again")
        put(one)
        self.cluster.await_health("ok", one)
        for partition in range(6):
            out = two.ok("consume", "t", "--partition", partition, "--format", "%s ")
            self.assertEqual([int(word) for word in out.split()], list(range(written[partition])))


if __name__ == "__main__":
    main()
