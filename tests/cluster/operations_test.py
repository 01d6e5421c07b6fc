#!/usr/bin/env python3
"""What an operator does with three real processes: looks at all of it from any of them, has a
newcomer take the place of a dead node, gives up what cannot be had back."""

import json

from nodes import ClusterTest, main, wait_until


class Operations(ClusterTest):
    def fails(self, node, text, *words):
        done = node.run(*words)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn(text, done.stderr.decode())

    def test_any_node_tells_of_everything(self):
        one = self.cluster[1]
        one.ok("topic", "create", "spread", "--partitions", "6", "--replication-factor", "1")
        for partition in range(6):
            for number in range(partition + 1):
                one.ok("put", f"spread/{partition}", f"{number}")
        leaders = {part["leader"] for part in self.cluster.segments("spread")}
        self.assertEqual(leaders, {1, 2, 3})
        for number in range(8):  # their coordinators come into being with the first
            words = ("group", "reset", f"g{number}", "spread", "--to", "latest")
            wait_until(lambda words=words: one.run(*words).returncode == 0, f"group g{number}")
        for node in self.cluster.nodes.values():
            topics = json.loads(node.ok("topic", "list", "--json"))
            self.assertEqual([(one["name"], one["records"]) for one in topics], [("spread", 21)])
            self.assertNotIn("stale_partitions", topics[0])
            parts = json.loads(node.ok("topic", "describe", "spread", "--json"))["partitions"]
            self.assertEqual([part["high_watermark"] for part in parts], list(range(1, 7)))
            self.assertEqual([part["segments"][-1]["records"] for part in parts],
                             list(range(1, 7)))
            self.assertEqual(sum(part["bytes"] for part in parts), topics[0]["bytes"])
            out = node.ok("consume", "spread", "--partition", "5", "--format", "%s ")
            self.assertEqual(out.split(), [b"%d" % number for number in range(6)])
            self.assertEqual(node.ok("group", "list", "--quiet").split(),
                             [b"g%d" % number for number in range(8)])
            offsets = json.loads(node.ok("group", "describe", "g3", "--json"))["offsets"]
            self.assertEqual([one["lag"] for one in offsets], [0] * 6)
            self.assertEqual([one["offset"] for one in offsets], list(range(1, 7)))
        raft = [json.loads(node.ok("metrics")) for node in self.cluster.nodes.values()]
        self.assertEqual([one["id"] for one in raft], [1, 2, 3])
        self.assertEqual(len({one["current_leader"] for one in raft}), 1)
        self.assertEqual(sorted(one["state"] for one in raft), ["Follower", "Follower", "Leader"])
        leader = next(one for one in raft if one["state"] == "Leader")
        self.assertEqual(set(leader["replication"]), {"1", "2", "3"})
        self.assertEqual(leader["membership_config"]["membership"]["configs"], [[1, 2, 3]])

        def counted():
            pages = [node.metrics() for node in self.cluster.nodes.values()]
            return (max(page["walrus_cluster_nodes_alive"] for page in pages) == 3
                    and sum(page["walrus_metadata_votes"] for page in pages) == 3
                    and max(page["walrus_cluster_under_replicated"] for page in pages) == 0
                    and sum(page["walrus_replica_leaders"] for page in pages) >= 6)
        wait_until(counted, "the gauges of all nodes")

    def test_a_newcomer_takes_the_place_of_a_dead_node(self):
        one = self.cluster[1]
        one.ok("topic", "create", "kept", "--partitions", "2")
        for number in range(20):
            one.ok("put", f"kept/{number % 2}", f"{number}")
        self.cluster.add(4)
        self.cluster.await_states({4: "active"})
        self.fails(one, "does not replace itself", "cluster", "replace", "3", "3", "--yes")
        self.fails(one, "unknown node 9", "cluster", "replace", "3", "9", "--yes")
        self.cluster[3].kill9()
        wait_until(lambda: not self.cluster.status(one)["nodes"][2]["alive"], "node 3 is missed")
        done = one.run("cluster", "replace", "3", "4", "--yes", "--wait", timeout=120)
        self.assertEqual((done.returncode, done.stdout), (0, b"node 3 is removed\n"), done.stderr)
        for node in (one, self.cluster[4]):
            for part in self.cluster.segments("kept", node):
                for segment in part["segments"]:
                    self.assertEqual(sorted(segment["replicas"]), [1, 2, 4])
        self.cluster.await_health("ok", one)
        for partition in (0, 1):
            out = self.cluster[4].ok("consume", "kept", "--partition", partition, "--format", "%s ")
            self.assertEqual([int(word) for word in out.split()], list(range(partition, 20, 2)))
        self.fails(one, "node 3 is removed", "cluster", "replace", "3", "2", "--yes")
        # What cannot end is not begun.
        one.ok("topic", "create", "strict", "--set", "in_sync_min=3")
        self.fails(one, "topic strict wants 3 nodes", "cluster", "drain", "2")
        self.assertEqual(self.cluster.states()[2], "active")
        one.ok("topic", "delete", "strict", "--yes")
        done = one.run("cluster", "drain", "2", "--wait", timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"fewer copies", done.stderr)
        self.fails(one, "cannot be drained", "cluster", "drain", "4")

    def test_a_node_that_is_there_hands_over_to_the_newcomer_alone(self):
        one = self.cluster[1]
        one.ok("topic", "create", "moved", "--partitions", "3", "--replication-factor", "2")
        one.ok("topic", "create", "single", "--partitions", "3", "--replication-factor", "1")
        topics, put = ("moved", "single"), []
        for number in range(30):
            for topic in topics:
                one.ok("put", f"{topic}/{number % 3}", f"{number}")
            put.append(number)
        for _ in range(2):
            self.cluster.add(max(self.cluster.nodes) + 1)
        self.cluster.await_states({4: "active", 5: "active"})
        had = self.cluster.status(one)["nodes"][1]["segments"]
        self.assertGreater(had, 0)
        done = one.run("cluster", "replace", "2", "5", "--yes")
        self.assertEqual((done.returncode, done.stdout), (0, b"node 2 is draining\n"), done.stderr)
        # Nothing is refused meanwhile, and in the end it is removed by itself.
        def removed():
            number = len(put)
            for topic in topics:
                one.ok("put", f"{topic}/{number % 3}", f"{number}")
            put.append(number)
            return self.cluster.states(one).get(2) == "removed"
        wait_until(removed, "node 2 is removed")
        done = one.run("cluster", "replace", "2", "5", "--yes", "--wait")
        self.assertEqual((done.returncode, done.stdout), (0, b"node 2 is removed\n"), done.stderr)
        status = {node["id"]: node for node in self.cluster.status(one)["nodes"]}
        self.assertEqual(status[2]["segments"], 0)
        self.assertGreaterEqual(status[5]["segments"], had)
        for topic in topics:
            for part in self.cluster.segments(topic, one):
                self.assertEqual(part["losses"], 0)
            for partition in range(3):
                out = self.cluster[5].ok("consume", topic, "--partition", partition,
                                         "--format", "%s ")
                self.assertEqual([int(word) for word in out.split()], put[partition::3])
        self.assertEqual(self.cluster[2].await_end(), 1)
        self.assertIn("removed from the cluster", self.cluster[2].error_text())

    def test_what_is_lost_with_its_only_node_is_given_up_by_an_operator(self):
        one = self.cluster[1]
        one.ok("topic", "create", "single", "--replication-factor", "1")
        one.ok("put", "single", "gone")
        lost = self.cluster.leader("single")
        other = next(node for node in self.cluster.nodes.values() if node.number != lost)
        self.assertEqual(other.ok("cluster", "seal", "single"), b"nothing waits to be sealed\n")
        self.cluster[lost].kill9()
        wait_until(lambda: not self.cluster.status(other)["nodes"][lost - 1]["alive"],
                   "the node is missed")
        self.fails(other, "none of its nodes is there", "cluster", "seal", "single",
                   "--accept-loss", "--yes")
        other.ok("cluster", "remove", lost, "--force", "--yes")

        def waits():
            seen = json.loads(other.ok("cluster", "seal", "single", "--json"))["waiting"]
            return seen and seen[0].get("waits") and seen[0]
        seen = wait_until(waits, "a segment that waits for an operator")
        self.assertEqual((seen["end"], seen["copies"][0]["knows"]), (0, "removed"))
        health = json.loads(other.run("cluster", "health", "--json").stdout)
        self.assertIn("walrus cluster seal single/0 --accept-loss", " ".join(health["problems"]))
        self.fails(other, "say --yes", "cluster", "seal", "single", "--accept-loss")
        done = other.run("cluster", "seal", "single", "--accept-loss", "--yes")
        self.assertEqual(done.returncode, 0, done.stderr)
        other.ok("put", "single", "new")
        self.assertEqual(other.ok("consume", "single", "--format", "%s"), b"new")
        part = self.cluster.segments("single", other)[0]
        self.assertEqual(part["losses"], 1)
        self.assertEqual(part["lost"][0]["end"], 0)
        self.assertIn("127.0.0.1", part["lost"][0]["accepted_by"])
        self.cluster.await_health("ok", other)


if __name__ == "__main__":
    main()
