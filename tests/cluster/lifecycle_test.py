#!/usr/bin/env python3
"""Three real processes that are one cluster: made, written and read anywhere, restarted, grown and
shrunk."""

import json
import pathlib

from nodes import ClusterTest, Node, main, wait_until, walrus


class Lifecycle(ClusterTest):
    def test_made_at_one_written_at_another_read_at_the_third(self):
        one, two, three = (self.cluster[n] for n in (1, 2, 3))
        one.ok("topic", "create", "orders")
        for number in range(20):
            two.ok("put", "orders", f"order {number}")
        expected = b"".join(b"order %d\n" % number for number in range(20))
        for node in (three, one, two):
            self.assertEqual(node.ok("consume", "orders", "--format", "%s\\n"), expected)
        self.assertEqual(three.ok("get", "orders"), b"order 0\n")
        self.assertEqual(one.ok("get", "orders"), b"order 1\n")
        segments = self.cluster.segments("orders")
        self.assertEqual(sorted(segments[0]["segments"][-1]["replicas"]), [1, 2, 3])
        self.assertEqual({state["leader"] for node in (one, two, three)
                          for state in self.cluster.segments("orders", node)},
                         {segments[0]["leader"]})

    def test_status_and_health_are_told_by_every_node(self):
        ids = {json.dumps([one["id"] for one in self.cluster.status(node)["nodes"]])
               for node in self.cluster.nodes.values()}
        self.assertEqual(ids, {"[1, 2, 3]"})
        clusters = {self.cluster.status(node)["cluster_id"] for node in self.cluster.nodes.values()}
        self.assertEqual(len(clusters), 1)
        for node in self.cluster.nodes.values():
            self.cluster.await_health("ok", node)
            self.assertEqual(node.ok("cluster", "nodes", "--quiet"), b"1\n2\n3\n")
            wait_until(lambda: node.metrics()["walrus_cluster_nodes"] == 3, "three nodes counted")

    def test_a_node_has_one_journal_unless_told_and_keeps_what_it_has(self):
        def journals(node):
            directory = pathlib.Path(node.directory) / "journal"
            return sorted(path.name for path in directory.iterdir())

        for node in self.cluster.nodes.values():  # one that made the cluster, two that joined
            self.assertEqual(journals(node), ["0"])
        node, arguments = self.cluster[2], self.cluster[2].arguments
        self.cluster[1].ok("topic", "create", "kept")
        self.cluster[1].ok("put", "kept", "a record")
        for more in (["--set", "log.shards=2"], []):
            node.stop()
            node.arguments = arguments + more
            node.start()
            self.assertEqual(journals(node), ["0", "1"])
            self.assertEqual(node.ok("consume", "kept", "--format", "%s\\n"), b"a record\n")

    def test_three_restarts_of_all_lose_nothing(self):
        self.cluster[1].ok("topic", "create", "kept", "--partitions", "2")
        expected = [[], []]
        for restart in range(3):
            for number in range(10):
                for partition in (0, 1):
                    text = f"{restart} {number} {partition}"
                    self.cluster[1 + number % 3].ok("put", f"kept/{partition}", text)
                    expected[partition].append(text)
            if restart % 2:
                self.assertEqual(set(self.cluster.stop().values()), {0})
            else:
                for node in self.cluster.nodes.values():
                    node.kill9()
            self.cluster.start()
            for partition in (0, 1):
                out = self.cluster[1 + restart].ok("consume", "kept", "--partition", partition,
                                                   "--format", "%s\\n")
                self.assertEqual(out.decode().splitlines(), expected[partition])
        self.cluster[2].ok("put", "kept/0", "after")

    def test_a_fourth_node_joins_and_the_first_leaves(self):
        self.cluster[1].ok("topic", "create", "moved")
        for number in range(10):
            self.cluster[1].ok("put", "moved", f"{number}")
        self.cluster.add(4)
        self.cluster.await_states({4: "active"})
        self.cluster[2].ok("cluster", "drain", "1", "--wait", timeout=120)
        self.assertEqual(self.cluster.states(self.cluster[4])[1], "drained")
        for partition in self.cluster.segments("moved", self.cluster[4]):
            for segment in partition["segments"]:
                self.assertNotIn(1, segment["replicas"])
        self.assertEqual(self.cluster[1].stop(), 0)
        self.cluster[2].ok("cluster", "remove", "1", "--yes")
        self.assertEqual(self.cluster.states(self.cluster[2])[1], "removed")
        self.cluster[4].ok("put", "moved", "10")
        out = self.cluster[3].ok("consume", "moved", "--format", "%s ")
        self.assertEqual(out.decode().split(), [str(number) for number in range(11)])

    def test_a_drained_node_may_come_back(self):
        self.cluster[1].ok("topic", "create", "t", "--replication-factor", "2")
        self.cluster[1].ok("put", "t", "a")
        self.cluster[2].ok("cluster", "drain", "3", "--wait", timeout=120)
        self.cluster[2].ok("cluster", "activate", "3")
        self.cluster.await_states({3: "active"})
        self.cluster[3].ok("put", "t", "b")
        self.assertEqual(self.cluster[1].ok("consume", "t", "--format", "%s "), b"a b ")

    def test_what_cannot_be_done_is_refused_with_the_reason(self):
        def fails(node, text, *words):
            done = node.run(*words)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(text, done.stderr.decode())
        fails(self.cluster[1], "unknown node 9", "cluster", "drain", "9")
        fails(self.cluster[1], "unknown topic nothing", "cluster", "segments", "nothing")
        self.cluster[1].ok("topic", "create", "held")
        self.cluster[1].ok("put", "held", "x")
        fails(self.cluster[3], "drain it first", "cluster", "remove", "2", "--yes")
        fails(self.cluster[3], "replication", "topic", "create", "wide",
              "--replication-factor", "4")


class Directories(ClusterTest):
    nodes = 1

    def test_directories_that_do_not_fit_are_refused(self):
        def fails(text, *words, **options):
            done = walrus(*words, **options)
            self.assertEqual(done.returncode, 1, (done.stdout, done.stderr))
            self.assertIn(text, done.stderr.decode())
        node = self.cluster[1]
        node.ok("topic", "create", "t")
        self.assertEqual(node.stop(), 0)
        fails("the directory is of node 1 of cluster", "cluster", "init", "--data-dir",
              node.directory, "--node-id", "1")
        fails("belongs to node 1", "serve", "--data-dir", node.directory, "--node-id", "2")
        single = Node(self.path("single"), 7, [])
        self.addCleanup(single.close)
        single.start()
        single.ok("topic", "create", "alone")
        self.assertEqual(single.stop(), 0)
        fails("topics of a single server (alone)", "cluster", "init", "--data-dir",
              single.directory, "--node-id", "7")
        fails("topics of a single server (alone)", "serve", "--data-dir", single.directory,
              "--node-id", "7", "--join", node.peer)
        # The refusal has changed nothing: it is what it was.
        single.start()
        self.assertIn(b"alone", single.ok("topic", "list", "--quiet"))

    def test_a_node_with_a_small_journal(self):
        """Smaller than the one that `cluster init` made: it starts all the same."""
        node = self.cluster[1]
        node.ok("topic", "create", "t")
        node.ok("put", "t", "first")
        node.kill9()
        node.arguments += ["--set", f"log.journal_bytes_max={32 << 20}"]
        node.start()
        for number in range(80):
            node.ok("put", "t", "-", input=b"%d " % number + b"x" * 500_000)
        node.kill9()
        node.start()
        out = node.ok("consume", "t", "--format", "%s\\n")
        self.assertEqual([line.split()[0] for line in out.splitlines()],
                         [b"first", *(b"%d" % number for number in range(80))])

    def test_one_node_is_a_cluster_and_grows(self):
        node = self.cluster[1]
        node.ok("topic", "create", "t")
        node.ok("put", "t", "first")
        self.assertEqual(self.cluster.segments("t")[0]["segments"][-1]["replicas"], [1])
        for number in (2, 3):
            self.cluster.add(number)
        self.cluster.await_states({1: "active", 2: "active", 3: "active"})
        done = walrus("cluster", "join", node.peer, "--data-dir", self.path("node4"),
                      "--node-id", "4")
        self.assertEqual(done.returncode, 0, done.stderr)
        four = Node(self.path("node4"), 4, [node.peer])
        self.cluster.nodes[4] = four.start()
        self.cluster.await_states({4: "active"})
        self.assertEqual(four.ok("consume", "t", "--format", "%s"), b"first")


if __name__ == "__main__":
    main()
