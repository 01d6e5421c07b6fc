#!/usr/bin/env python3
"""TLS between the nodes of a cluster: three real processes with certificates of `walrus cert`, who
may not speak to them, and certificates that are changed while they run."""

import pathlib
import shutil
import signal

from nodes import Cluster, ClusterTest, Node, free_ports, main, wait_until, walrus


def certify(directory, *words):
    done = walrus("cert", *words)
    assert done.returncode == 0, done.stderr
    return pathlib.Path(directory)


def authority(directory, cluster="walrus"):
    return certify(directory, "ca", directory, "--cluster", cluster)


def sign(directory, number):
    certify(directory, "node", directory, "--node-id", number, "--force")
    return directory


def security(ca, certificate):
    """Of the peer port alone: clients speak in plain text."""
    words = []
    for key, value in (("certificate", f"{certificate}.pem"), ("key", f"{certificate}.key"),
                       ("ca", ca)):
        words += ["--set", f"security.{key}={value}"]
    for port in ("native", "kafka"):
        words += ["--set", f"{port}.security=plaintext"]
    return words


class TlsCluster(Cluster):
    def __init__(self, directory, nodes, arguments):
        self.authority = authority(pathlib.Path(directory) / "authority")
        self.certificates = pathlib.Path(directory) / "certificates"
        self.certificates.mkdir()
        super().__init__(directory, nodes, arguments)

    def files_of(self, number):
        return self.certificates / f"node-{number}"

    def arguments_of(self, number):
        """Each node has files of its own, also of the CA."""
        sign(self.authority, number)
        self.give(number, self.authority, self.authority / "ca.pem")
        return [*self.arguments, *security(f"{self.files_of(number)}-ca.pem",
                                           self.files_of(number))]

    def give(self, number, made, *authorities):
        name = self.files_of(number)
        for end in (".pem", ".key"):
            shutil.copy(made / f"node-{number}{end}", f"{name}{end}")
        pathlib.Path(f"{name}-ca.pem").write_bytes(b"".join(one.read_bytes()
                                                            for one in authorities))


class Tls(ClusterTest):
    kind = TlsCluster

    def fails(self, text, *words):
        done = walrus(*words)
        self.assertEqual(done.returncode, 1, (done.stdout, done.stderr))
        self.assertIn(text, done.stderr.decode())

    def put(self, count, nodes=None):
        nodes = nodes or self.cluster.alive()
        for _ in range(count):
            node = nodes[self.written % len(nodes)]
            node.ok("put", "kept", f"{self.written}")
            self.written += 1

    def check(self):
        for node in self.cluster.alive():
            out = node.ok("consume", "kept", "--format", "%s ")
            self.assertEqual([int(word) for word in out.split()], list(range(self.written)))

    def setUp(self):
        super().setUp()
        self.written = 0
        self.cluster[1].ok("topic", "create", "kept")

    def test_goes_on_when_a_node_dies_and_lets_nobody_else_in(self):
        self.put(10)
        for node in self.cluster.nodes.values():
            self.assertGreater(node.metrics()["walrus_peer_tls_handshakes_total"], 0)
        dead = self.cluster[self.cluster.leader("kept")]
        dead.kill9()
        self.put(10)
        dead.start()
        self.put(10)
        self.check()
        # Plain text, another CA, another cluster of the same CA, another node.
        peer, four = self.cluster[1].peer, ("--data-dir", self.path("node4"), "--node-id", "4")
        self.fails("this port speaks TLS only", "cluster", "join", peer, *four,
                   "--timeout-ms", "1000")
        authority(pathlib.Path(self.path("strange")))
        authority(pathlib.Path(self.path("other")), "other")
        for name, ca, why in (("strange", "authority", "no node of the cluster was reached"),
                              ("other", "other", "no node of the cluster was reached")):
            made = sign(pathlib.Path(self.path(name)), 4)
            self.fails(why, "cluster", "join", peer, *four, "--timeout-ms", "1000",
                       "--tls-ca", self.path(ca) + "/ca.pem", "--tls-cert", made / "node-4.pem",
                       "--tls-key", made / "node-4.key")
        sign(self.cluster.authority, 4)
        third = self.cluster.authority / "node-3"
        self.fails("it is of node 3, this is node 4", "serve", *four, "--join", peer,
                   "--peer-listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--kafka-listen", "",
                   "--admin-listen", "127.0.0.1:0",
                   *security(self.cluster.authority / "ca.pem", third))

        def told():
            text = "".join(node.error_text() for node in self.cluster.nodes.values())
            return "tls_handshake_failed" in text and "port=peer" in text
        wait_until(told, "a refusal in a log")
        # With a certificate of its own it is let in, and by serve alone as well.
        made = self.cluster.authority
        done = walrus("cluster", "join", peer, *four, "--tls-ca", made / "ca.pem",
                      "--tls-cert", made / "node-4.pem", "--tls-key", made / "node-4.key")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.cluster.add(4)
        self.cluster.await_states({4: "active"})
        self.put(5)
        self.check()

    def test_a_node_without_tls_takes_no_part(self):
        node = self.cluster[3]
        node.kill9()
        words = node.arguments
        node.arguments = [*words, "--set", "peer.security=plaintext", "--set",
                          "security.client_certificate=required"]
        node.begin()
        self.put(5, [self.cluster[1], self.cluster[2]])
        wait_until(lambda: "waiting_for_cluster" in node.error_text(), "it waits")
        others = (self.cluster[1], self.cluster[2])
        wait_until(lambda: any("tls_handshake_failed" in one.error_text() for one in others),
                   "a refusal in a log")
        self.assertEqual(self.cluster.status(self.cluster[1])["nodes"][2]["alive"], False)
        node.process.kill()
        node.await_end()
        node.arguments = words
        node.start()
        wait_until(lambda: self.cluster.status(self.cluster[1])["nodes"][2]["alive"], "it is back")
        self.put(5)
        self.check()

    def test_certificates_and_their_authority_change_while_it_runs(self):
        self.put(5)
        old, new = self.cluster.authority, authority(pathlib.Path(self.path("new")))
        both = (old / "ca.pem", new / "ca.pem")
        for made, authorities in ((old, both), (new, both), (new, (new / "ca.pem",))):
            for number, node in self.cluster.nodes.items():
                if made is new and len(authorities) == 2:
                    sign(new, number)
                before = node.error_text().count("certificate_reloaded")
                self.cluster.give(number, made, *authorities)
                node.process.send_signal(signal.SIGHUP)
                wait_until(lambda node=node, before=before:
                           node.error_text().count("certificate_reloaded") > before, "a reload")
            self.put(5)
        self.assertNotIn("certificate_refused",
                         "".join(node.error_text() for node in self.cluster.nodes.values()))
        # Connections are made anew with what is there now.
        for number in (1, 2, 3):
            self.cluster[number].kill9()
            self.put(3)
            self.cluster[number].start()
            self.put(3)
        self.check()
        # Who has still the former one is not let in.
        sign(old, 4)
        late = Node(self.path("node4"), 4, [self.cluster[1].peer],
                    *security(old / "ca.pem", old / "node-4"))
        self.addCleanup(late.close)
        late.begin()
        wait_until(lambda: "tls_handshake_failed" in late.error_text(), "a refusal")
        late.process.send_signal(signal.SIGTERM)
        self.assertEqual(late.await_end(), 0)
        self.assertNotIn(4, self.cluster.states())

    def test_off_loopback_plain_text_is_refused(self):
        port = free_ports(1)[0]
        done = walrus("serve", "--check-config", "--peer-listen", f"0.0.0.0:{port}",
                      "--join", self.cluster[1].peer)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"--insecure", done.stderr)


if __name__ == "__main__":
    main()
