#!/usr/bin/env python3
"""What an operator gets wrong with a cluster of real processes: each is refused with the reason and
the right exit status, and changes nothing."""

import re
import signal
import time

from nodes import ClusterTest, Node, free_ports, main, wait_until, walrus
from walrus import Server

USAGE, FAILED = 2, 1


class Refusals(ClusterTest):
    def fails(self, status, text, *words, addr=None):
        """One line on stderr that says so, nothing on stdout."""
        done = walrus("--timeout-ms", "5000", *words, addr=addr)
        errors = done.stderr.decode()
        self.assertEqual(done.returncode, status, (words, done.stdout, errors))
        self.assertIn(text, errors)
        self.assertEqual(done.stdout, b"")
        if status == FAILED:
            self.assertRegex(errors, r"\Awalrus: [^\n]+\n\Z")

    def asked(self, status, text, *words, node=1):
        self.fails(status, text, *words, addr=self.cluster[node].addr)

    def test_words_that_are_wrong_are_told(self):
        for words in (("drain",), ("drain", "x"), ("drain", "0"), ("drain", "-1"),
                      ("drain", "1", "2"), ("remove",), ("remove", "three"), ("replace", "1"),
                      ("replace", "1", "x"), ("activate",), ("segments",), ("seal",),
                      ("seal", "t/x"), ("seal", "t/-1"), ("seal", "t/"), ("nonsense",), (),
                      ("status", "more"), ("health", "--wait"), ("drain", "1", "--accept-loss"),
                      ("init", "--node-id", "0"), ("init", "--node-id", "x"), ("join",),
                      ("recover-metadata", "--show", "more")):
            with self.subTest(words=words):
                self.asked(USAGE, "walrus", "cluster", *words)

    def test_what_there_is_not_is_told(self):
        for text, words in (("unknown node 9", ("drain", "9")),
                            ("unknown node 9", ("activate", "9")),
                            ("unknown node 9", ("remove", "9", "--yes")),
                            ("unknown node 9", ("remove", "9", "--force", "--yes")),
                            ("unknown node 9", ("replace", "9", "1", "--yes")),
                            ("unknown node 9", ("replace", "1", "9", "--yes")),
                            ("node 2 does not replace itself", ("replace", "2", "2", "--yes")),
                            ("unknown topic nothing", ("segments", "nothing")),
                            ("unknown topic nothing", ("seal", "nothing")),
                            ("unknown topic nothing", ("seal", "nothing/3", "--accept-loss",
                                                       "--yes"))):
            for number in (1, 2, 3):
                with self.subTest(words=words, node=number):
                    self.asked(FAILED, text, "cluster", *words, node=number)
        self.assertEqual(set(self.cluster.states().values()), {"active"})

    def test_of_a_node_that_is_dead(self):
        one, three = self.cluster[1], self.cluster[3]
        one.ok("topic", "create", "held")
        one.ok("put", "held", "x")
        three.kill9()
        wait_until(lambda: not self.cluster.status(one)["nodes"][2]["alive"], "node 3 is missed")
        for words in (("status",), ("nodes",), ("health",), ("segments", "held"), ("drain", "1"),
                      ("remove", "1", "--yes"), ("seal", "held")):
            with self.subTest(words=words):
                self.fails(FAILED, three.addr, "cluster", *words, addr=three.addr)
        done = one.run("cluster", "health")
        self.assertEqual(done.returncode, FAILED)
        self.assertIn("node 3 does not answer", done.stdout.decode())
        self.assertEqual(one.run("cluster", "status").returncode, 0)
        self.asked(FAILED, "node 3 has", "cluster", "remove", "3", "--yes")  # copies
        # A majority is gone: nothing is changed, and whoever asks learns that, and when.
        self.cluster[2].kill9()
        begin = time.monotonic()
        for words in (("drain", "3"), ("activate", "3"), ("remove", "3", "--force", "--yes"),
                      ("replace", "3", "1", "--yes")):
            with self.subTest(words=words):
                self.asked(FAILED, "", "cluster", *words)
        self.assertLess(time.monotonic() - begin, 60)

        def down():
            done = one.run("cluster", "health")
            return done.returncode == FAILED and b"nobody leads the metadata" in done.stdout
        wait_until(down, "health says that nobody leads")
        self.cluster[2].start()
        three.start()
        self.cluster.await_health()
        self.assertEqual(set(self.cluster.states().values()), {"active"})

    def test_a_server_that_is_no_node_says_so(self):
        single = Server(self.path("single"))
        self.addCleanup(single.close)
        single.start()
        for words in (("status",), ("nodes",), ("health",), ("segments", "t"), ("drain", "1"),
                      ("activate", "1"), ("remove", "1", "--yes"), ("replace", "1", "2", "--yes"),
                      ("seal", "t")):
            with self.subTest(words=words):
                self.fails(FAILED, "not a node of a cluster", "cluster", *words, addr=single.addr)


class Twins(ClusterTest):
    def twin(self, number, members):
        node = Node(self.path(f"twin-of-{number}-by-{members[0]}"), number,
                    [self.cluster[member].peer for member in members])
        self.addCleanup(node.close)
        return node

    def test_an_empty_directory_does_not_take_a_living_nodes_place(self):
        one = self.cluster[1]
        one.ok("topic", "create", "held", "--replication-factor", "3")
        lives = {node.number: node.process.pid for node in self.cluster.alive()}
        for number in (1, 2, 3):  # who leads the metadata among them
            others = [other for other in (1, 2, 3) if other != number]
            for members in (others, others[::-1]):
                with self.subTest(number=number, members=members):
                    twin = self.twin(number, members)
                    twin.begin()
                    self.assertEqual(twin.await_end(), FAILED)
                    said = twin.error_text().splitlines()[-1]
                    self.assertRegex(said, rf"\Awalrus: .*node {number} is there already, in "
                                           "another data directory: stop that process first, or "
                                           "take another node id")
            self.cluster[number].ok("put", "held", f"by {number}")
        self.assertEqual({node.number: node.process.pid for node in self.cluster.alive()}, lives)
        nodes = self.cluster.status()["nodes"]
        self.assertTrue(all(node["alive"] for node in nodes), nodes)
        done = walrus("cluster", "join", one.peer, "--data-dir", self.path("verb"), "--node-id", 2)
        self.assertEqual(done.returncode, FAILED)
        self.assertIn(b"node 2 is there already, in another data directory", done.stderr)
        # One that joined while node 3 was away, and was not started since, comes too late as well.
        self.cluster[3].kill9()
        late = walrus("cluster", "join", one.peer, "--data-dir", self.path("twin-of-3-by-1"),
                      "--node-id", "3")
        self.assertEqual(late.returncode, 0, late.stderr)
        self.cluster[3].start()
        wait_until(lambda: self.cluster.status(one)["nodes"][2]["alive"], "node 3 is back")
        back = time.time()  # lives count with the seconds of the clock, and at least by one
        wait_until(lambda: time.time() > back + 2, "a life is later than that of node 3")
        twin = self.twin(3, [1, 2])
        twin.begin()
        self.assertEqual(twin.await_end(), FAILED)
        self.assertIn("node 3 is there already", twin.error_text().splitlines()[-1])
        self.cluster[3].ok("put", "held", "still there")
        # Its process is dead, and its directory lost: then it is replaced, at once.
        self.cluster[3].kill9()
        self.cluster.nodes[3] = self.twin(3, [2, 1])
        self.cluster[3].start()
        self.cluster[3].ok("put", "held", "again")
        self.cluster.await_health()


class Joining(ClusterTest):
    nodes = 1

    def joins(self, text, member, *words):
        done = walrus("cluster", "join", member, "--data-dir", self.path("new"), "--node-id", "7",
                      "--timeout-ms", "1500", *words)
        self.assertEqual((done.returncode, done.stdout), (FAILED, b""), done.stderr)
        self.assertRegex(done.stderr.decode(), r"\Awalrus: [^\n]+\n\Z")
        self.assertIn(text, done.stderr.decode())

    def server(self, name, number, *members):
        node = Node(self.path(name), number, list(members))
        self.addCleanup(node.close)
        return node

    def test_what_is_no_member_is_told(self):
        node = self.cluster[1]
        nobody = f"127.0.0.1:{free_ports(1)[0]}"
        self.joins(nobody, nobody)
        for address in (node.addr, node.kafka, node.admin):  # ports that are not for nodes
            self.joins(f"no node of the cluster was reached: {address}", address)
        single = Server(self.path("single"))
        self.addCleanup(single.close)
        single.start()
        self.joins(single.addr, single.addr)
        # A server that is to join waits, says for whom and why, and ends when it is told to.
        waits = self.server("waits", 7, nobody)
        waits.begin()
        wait_until(lambda: re.search(f"join_waits .*{nobody}", waits.error_text()), "it says why")
        waits.process.send_signal(signal.SIGTERM)
        self.assertEqual(waits.await_end(), 0)
        self.assertEqual(self.cluster.states(), {1: "active"})

    def test_a_node_of_one_cluster_does_not_join_another(self):
        other = self.server("other", 1)
        self.assertEqual(walrus("cluster", "init", "--data-dir", other.directory, "--node-id",
                                "1").returncode, 0)
        other.start()
        other.ok("topic", "create", "theirs")
        two = self.server("two", 2, self.cluster[1].peer)
        two.start()
        self.cluster.nodes[2] = two
        self.cluster.await_states({2: "active"})
        self.assertEqual(two.stop(), 0)
        # Its directory says where it belongs, whatever it is told.
        two.arguments[two.arguments.index("--join") + 1] = other.peer
        two.start()
        self.cluster.await_states({1: "active", 2: "active"})
        wait_until(lambda: self.cluster.status()["nodes"][1]["alive"], "node 2 is there")
        self.assertNotIn(b"theirs", two.ok("topic", "list", "--quiet"))
        done = walrus("cluster", "join", other.peer, "--data-dir", two.directory, "--node-id", "2")
        self.assertEqual(done.returncode, FAILED)

    def test_a_node_does_not_join_itself(self):
        self.joins_as(1, self.cluster[1].peer, "this is node 1 too")
        two = self.server("two", 2, self.cluster[1].peer)
        two.start()
        self.cluster.nodes[2] = two
        self.cluster.await_states({2: "active"})
        self.joins_as(2, two.peer, "this is node 2 too")
        self.assertEqual(self.cluster.states(), {1: "active", 2: "active"})

    def joins_as(self, number, member, text):
        done = walrus("cluster", "join", member, "--data-dir", self.path("same"), "--node-id",
                      number, "--timeout-ms", "1500")
        self.assertEqual(done.returncode, FAILED)
        self.assertIn(text, done.stderr.decode())


if __name__ == "__main__":
    main()
