#!/usr/bin/env python3
"""Services as processes, and what must not harm them: nodes of another cluster, with another
certificate, of an earlier life; state machines that throw or save half; damaged disks. Each is told
by a line that an operator understands, the others go on, and nothing that was acknowledged is
lost."""

import os
import pathlib
import shutil
import signal

from service_test import Node, Service, send_garbage
from walrus import DEADLINE, main, walrus


class Faults(Service):
    kept = 0

    def keep(self, count=5, members=None):
        client = self.client(members)
        for _ in range(count):
            self.assertEqual(client.ask(f"put key{self.kept} {self.kept}"), "ok")
            self.kept += 1

    def check(self, members=None):
        """Everything that was kept is there, and one more write goes on."""
        client = self.client(members)
        for number in range(self.kept):
            self.assertEqual(client.ask(f"?get key{number}"), str(number))
        self.keep(1, members)

    def two(self):
        return [self.addresses[1], self.addresses[2]]

    def says(self, node, text):
        self.until(lambda: text in node.error_text(), f"{text!r} in {node.error_text()!r}")


class KeyValue(Faults):
    def test_a_node_of_another_cluster_is_refused(self):
        self.start()
        self.keep()
        self.nodes[3].end(signal.SIGKILL)
        # Told of another address of node 2: another group, by its id.
        strange = self.node(3, self.directory + "/strange",
                            [self.founders[0], "2=127.0.0.1:1", self.founders[2]]).start()
        self.addCleanup(strange.end, signal.SIGKILL)
        strange.wait_ready()
        self.says(strange, "peer_refused_us")
        self.says(strange, "a frame of cluster")
        self.says(self.nodes[1], "a frame of cluster")
        self.check(self.two())
        self.assertTrue(strange.running())
        self.assertEqual(strange.end(), 0)
        self.nodes[3].start().wait_ready()
        self.check([self.addresses[3]])

    def test_an_earlier_life_of_a_node_is_refused(self):
        self.start()
        self.keep()
        self.assertEqual(self.nodes[3].end(), 0)
        before = pathlib.Path(self.directory) / "before"
        before.mkdir()
        shutil.copytree(pathlib.Path(self.directory) / "3", before / "3")
        for _ in range(3):
            self.nodes[3].start().wait_ready()
            self.until(lambda: (self.status(3) or {}).get("leader"), "node 3 among the others")
            self.nodes[3].end(signal.SIGKILL)
        old = self.node(3, before).start()
        self.addCleanup(old.end, signal.SIGKILL)
        old.wait_ready()
        self.says(old, "peer_refused_us")
        self.says(old, "of node 3, a later one, ")
        self.check(self.two())
        self.assertTrue(old.running())
        old.end()
        self.nodes[3].start().wait_ready()
        self.check([self.addresses[3]])

    def test_a_disk_that_lost_its_end_is_told_by_file(self):
        self.start()
        self.keep()
        self.assertEqual(self.nodes[3].end(), 0)
        stored = [path for path in (pathlib.Path(self.directory) / "3/segments").rglob("*")
                  if path.is_file()]
        self.assertTrue(stored)
        for path in stored:
            os.truncate(path, path.stat().st_size // 2)
        self.nodes[3].start()
        self.assertEqual(self.nodes[3].process.wait(DEADLINE), 1)
        self.assertRegex(self.nodes[3].error_text(), r"segments/\S+: ")
        self.nodes[3].end()
        self.check(self.two())
        # It forgot what it promised: it comes back as another node.
        self.nodes[4] = Node(self.program, "join", 4, self.directory + "/4", self.addresses[4],
                             *self.two()).start().wait_ready()
        self.check([self.addresses[4]])


class Certificates(Faults):
    def setUp(self):
        super().setUp()
        self.ours, self.others = (pathlib.Path(self.directory) / name for name in ("ca1", "ca2"))
        for made in (self.ours, self.others):
            self.cert("ca", made)
            for number, address in {**self.addresses, 9: "127.0.0.1:0"}.items():
                self.cert("node", made, "--node-id", number, "--address", address.split(":")[0])

    def cert(self, *words):
        done = walrus("cert", *words)
        self.assertEqual(done.returncode, 0, done.stderr)

    def flags(self, node):
        return ("--tls", self.ours / f"node-{node or 9}")

    def status_flags(self, made=None):
        made = made or self.ours
        return ("--tls-ca", made / "ca.pem", "--tls-cert", made / "node-9.pem", "--tls-key",
                made / "node-9.key")

    def refused(self, *flags):
        done = walrus("service", "status", "--timeout-ms", 10000, *flags, addr=self.addresses[1])
        self.assertEqual(done.returncode, 1, done.stdout)
        return done.stderr.decode()

    def test_who_has_no_certificate_of_ours_is_let_in_nowhere(self):
        self.start()
        self.keep()
        self.assertEqual(self.nodes[3].end(), 0)
        words = ["serve", 3, self.directory, *self.founders]
        foreign = Node(self.program, "--tls", self.others / "node-3", *words).start()
        self.addCleanup(foreign.end, signal.SIGKILL)
        foreign.wait_ready()
        self.says(foreign, "certificate")
        self.says(self.nodes[1], "TLS handshake")  # who dials is told why, the other that it was so
        self.check(self.two())
        self.assertEqual(foreign.end(), 0)
        another = Node(self.program, "--tls", self.ours / "node-2", *words).start()
        self.assertEqual(another.process.wait(DEADLINE), 1)
        self.assertRegex(another.error_text(), "node-2.pem: it is of node 2, this is node 3")
        another.end()
        self.assertRegex(self.refused(*self.status_flags(self.others)), "certificate")
        self.assertRegex(self.refused(), "TLS")
        send_garbage(self.addresses[1])
        self.nodes[3].start().wait_ready()
        self.check([self.addresses[3]])


class Faulty(Service):
    """A state machine that does as it is told."""
    program = "faulty"

    def flags(self, node):
        return ("--snapshot-after", 4096) if node else ()

    def add(self, client, times=1):
        for _ in range(times):
            self.count = getattr(self, "count", 0) + 1
            self.assertEqual(client.ask("add"), str(self.count))

    def failed(self, node):
        return self.until(lambda: [s for s in [self.status(node)] if s and s["role"] == "failed"],
                          f"node {node} has failed")[0]["failure"]

    def test_apply_that_throws_fails_that_node_alone(self):
        self.start()
        client = self.client()
        self.add(client, 5)
        leader = self.leader()
        self.assertEqual(client.ask(f"throw {leader}"), "ok")
        self.assertIn("apply: ", self.failed(leader))
        self.assertIn("as it was told to", self.failed(leader))
        self.says_so(leader)
        self.add(client, 5)
        self.assertNotEqual(self.leader(), leader)
        self.assertTrue(self.nodes[leader].running())
        # What it cannot apply it cannot apply after a restart either; nothing later is applied.
        self.nodes[leader].end(signal.SIGKILL)
        self.nodes[leader].start().wait_ready()
        self.failed(leader)
        self.add(client, 5)
        self.assertEqual(self.client().ask("?count"), str(self.count))

    def says_so(self, node):
        self.until(lambda: "service_failed" in self.nodes[node].error_text(), "what the log says")

    def test_a_snapshot_without_its_end_fails_who_restores_it(self):
        self.start()
        client = self.client()
        self.add(client, 5)
        leader = self.leader()
        self.assertEqual(client.ask(f"cut {leader}"), "ok")
        self.add(client, 200)
        self.until(lambda: self.status(leader)["snapshot_index"] > 50, "a snapshot")
        self.nodes[4] = Node(self.program, *self.flags(4), "join", 4, self.directory + "/4",
                             self.addresses[4], *self.members()).start().wait_ready()
        self.assertIn("the count has no end", self.failed(4))
        self.says_so(4)
        self.add(client, 5)
        self.assertEqual(self.client(self.members()[:3]).ask("?count"), str(self.count))
        self.assertTrue(all(node.running() for node in self.nodes.values()))


if __name__ == "__main__":
    main()
