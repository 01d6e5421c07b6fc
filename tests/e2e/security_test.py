#!/usr/bin/env python3
"""SASL and users, with real clients: kcat, the command line, raw sockets."""

import json
import socket
import struct
import tempfile
import unittest

from secured import ALICE, SECRET, SecurityTest
from walrus import BINARY, Native, Terminal, environment, main, wait_until, walrus


class Sasl(SecurityTest):
    def test_scram_and_plain_over_loopback(self):
        self.start(tls=False, sasl="SCRAM-SHA-256,SCRAM-SHA-512,PLAIN")
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"):
            self.goes_through(self.kafka_flags("sasl_plaintext", mechanism))

    def test_sasl_over_tls(self):
        self.start(sasl="SCRAM-SHA-256,SCRAM-SHA-512,PLAIN")
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"):
            self.goes_through(self.kafka_flags("sasl_ssl", mechanism))

    def test_wrong_password_and_unknown_user(self):
        self.start(sasl="SCRAM-SHA-256,PLAIN")
        for mechanism in ("SCRAM-SHA-256", "PLAIN"):
            for user, password in ((ALICE, "wrong-secret-1"), ("mallory", "wrong-secret-2")):
                self.refused(self.kafka_flags("sasl_ssl", mechanism, password, user),
                             "authentication failed", "Authentication failed")
        self.logged(r"authentication_failed peer=127\.0\.0\.1:\d+ user=mallory mechanism=PLAIN")
        text = self.server.error_text()
        for secret in (SECRET, "wrong-secret"):
            self.assertNotIn(secret, text)
        failures = self.server.metrics()["walrus_authentication_failures_total"]
        self.assertGreaterEqual(failures, 4)

    def test_mechanism_that_is_not_offered(self):
        self.start(sasl="SCRAM-SHA-256")
        self.refused(self.kafka_flags("sasl_ssl", "SCRAM-SHA-512"), "SCRAM-SHA-256")

    def test_client_without_sasl_is_cut(self):
        self.start(sasl="SCRAM-SHA-256")
        self.refused(self.kafka_flags("ssl"), "isconnected", "transport failure", "timed out")

    def frame(self, key, version, body, correlation=1):
        head = struct.pack(">hhih", key, version, correlation, -1)
        return struct.pack(">i", len(head) + len(body)) + head + body

    def receive(self, connection):
        (size,) = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))
        return connection.recv(size, socket.MSG_WAITALL) if size else b""

    def test_nothing_but_the_handshake_before_authentication(self):
        self.start(tls=False, sasl="SCRAM-SHA-256,PLAIN")
        served = self.connect(self.server.kafka)
        served.sendall(self.frame(18, 0, b""))
        apis = self.receive(served)
        keys = {struct.unpack_from(">h", apis, 10 + 6 * i)[0]
                for i in range(struct.unpack_from(">i", apis, 6)[0])}
        self.assertLessEqual({0, 1, 3, 17, 36, 50, 51}, keys)
        for key in keys - {17, 18, 36}:
            stranger = self.connect(self.server.kafka)
            stranger.sendall(self.frame(key, 0, b"\0" * 8))
            self.assertEqual(stranger.recv(10), b"", key)
        # Nor what is pipelined behind an authentication that fails.
        stranger = self.connect(self.server.kafka)
        stranger.sendall(self.frame(17, 1, b"\0\5PLAIN") + self.frame(36, 0, b"\0\0\0\4\0a\0b") +
                         self.frame(3, 0, b"\0\0\0\0"))
        self.assertEqual(self.receive(stranger)[4:6], b"\0\0")
        self.assertEqual(struct.unpack(">h", self.receive(stranger)[4:6]), (58,))
        self.assertEqual(stranger.recv(10), b"")

    def test_frames_before_authentication_are_small(self):
        self.start(tls=False, sasl="PLAIN")
        for size in (8193, 1 << 20, 1 << 30):
            stranger = self.connect(self.server.kafka)
            stranger.sendall(struct.pack(">i", size))
            self.assertEqual(stranger.recv(10), b"", size)
        native = Native(self.server.addr)
        self.addCleanup(native.close)
        native.send_raw(struct.pack("<I", 8193))
        self.assertEqual(native.receive(), b"ERR invalid frame length")
        self.assertRaises(EOFError, native.receive)

    def test_raw_tokens_after_a_handshake_of_version_0(self):
        self.start(tls=False, sasl="PLAIN")
        connection = self.connect(self.server.kafka)
        connection.sendall(self.frame(17, 0, b"\0\5PLAIN"))
        self.assertEqual(self.receive(connection)[4:6], b"\0\0")
        token = b"\0alice\0" + SECRET.encode()
        connection.sendall(struct.pack(">i", len(token)) + token)
        self.assertEqual(self.receive(connection), b"")
        connection.sendall(self.frame(3, 0, b"\0\0\0\0"))  # Metadata, of no topics
        self.assertGreater(len(self.receive(connection)), 8)
        wrong = self.connect(self.server.kafka)
        wrong.sendall(self.frame(17, 0, b"\0\5PLAIN"))
        self.receive(wrong)
        wrong.sendall(struct.pack(">i", 4) + b"\0a\0b")
        self.assertEqual(wrong.recv(10), b"")

    def test_session_has_to_be_renewed(self):
        self.start("security.session_ms=3000", tls=False, sasl="PLAIN")
        connection = self.connect(self.server.kafka)
        token = b"\0alice\0" + SECRET.encode()

        def prove():
            connection.sendall(self.frame(17, 1, b"\0\5PLAIN"))
            self.assertEqual(self.receive(connection)[4:6], b"\0\0")
            connection.sendall(self.frame(36, 1, struct.pack(">i", len(token)) + token))
            answer = self.receive(connection)
            self.assertEqual(answer[4:6], b"\0\0")
            return struct.unpack(">q", answer[-8:])[0]

        self.assertTrue(0 < prove() <= 3000)
        again = self.connect(self.server.kafka)
        again.sendall(self.frame(36, 1, struct.pack(">i", len(token)) + token))
        self.assertEqual(struct.unpack(">h", self.receive(again)[4:6]), (34,))
        # Once it is over, the connection is: what it takes is watched from outside.
        wait_until(lambda: self.ended(connection), "the session is over")

    def ended(self, connection):
        try:
            connection.sendall(self.frame(3, 0, b"\0\0\0\0"))
            return connection.recv(65536) == b""
        except (ConnectionError, BrokenPipeError):
            return True

    def test_port_without_sasl_says_so(self):
        self.start(tls=False, users=False)
        connection = self.connect(self.server.kafka)
        connection.sendall(self.frame(17, 1, b"\0\5PLAIN"))
        self.assertEqual(struct.unpack(">h", self.receive(connection)[4:6]), (34,))
        connection.sendall(self.frame(3, 0, b"\0\0\0\0"))
        self.assertGreater(len(self.receive(connection)), 8)


class Users(SecurityTest):
    def test_life_of_a_user_by_the_command_line(self):
        self.start(sasl="SCRAM-SHA-256,SCRAM-SHA-512")
        self.assertEqual(self.client_ok("user", "list", "--quiet"), b"alice\n")
        self.client_ok("user", "add", "bob", input=b"first\n")
        done = self.client("user", "add", "bob", input=b"x\n")
        self.assertEqual((done.returncode, done.stderr),
                         (1, b"walrus: user add bob: user exists bob\n"))
        bob = self.write("bob", "first")
        self.client_ok("topic", "create", "t", user="bob", password=bob)
        self.client_ok("user", "passwd", "bob", "--new-password-file", self.write("new", "second"))
        self.assertEqual(self.client("topic", "list", user="bob", password=bob).returncode, 1)
        bob = self.write("bob", "second")
        # Durable: a kill takes nothing.
        self.server.kill9()
        self.server.start()
        self.client_ok("put", "t", "hello", user="bob", password=bob)
        self.goes_through(self.kafka_flags("sasl_ssl", "SCRAM-SHA-512", "second", "bob"))
        listed = json.loads(self.client_ok("user", "list", "--json"))
        self.assertEqual([user["name"] for user in listed], ["alice", "bob"])
        self.assertEqual(listed[1]["credentials"],
                         [{"mechanism": "SCRAM-SHA-256", "iterations": 4096},
                          {"mechanism": "SCRAM-SHA-512", "iterations": 4096}])
        self.client_ok("user", "remove", "bob")
        done = self.client("user", "remove", "bob")
        self.assertEqual(done.stderr, b"walrus: user remove bob: unknown user bob\n")
        self.assertEqual(self.client("topic", "list", user="bob", password=bob).returncode, 1)
        self.assertEqual(self.client_ok("topic", "list", "--quiet"), b"t\n")  # no __users

    def test_password_is_typed_without_being_shown(self):
        self.start(tls=False, users=False)
        terminal = Terminal(BINARY, "user", "add", "carol", "--addr", self.server.addr,
                            env=environment())
        self.addCleanup(terminal.kill)
        terminal.expect("New password of carol: ")
        terminal.type("typed secret\n")
        terminal.expect("Again: ")
        terminal.type("typed secret\n")
        terminal.expect("added carol")
        self.assertEqual(terminal.end(), 0)
        self.assertNotIn("typed secret", terminal.seen)

    def test_passwords_and_directories_that_cannot_be_used(self):
        self.start(tls=False, users=False)
        done = walrus("user", "add", "carol", "--data-dir", self.data, input=b"pw\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn(str(self.server.process.pid).encode(), done.stderr)
        for password in (b"", b"\n", b"x" * 2000):
            self.assertEqual(self.server.run("user", "add", "carol", input=password).returncode, 1)
        for name in ("", "a b", "a\x01", "x" * 250):
            self.assertEqual(self.server.run("user", "add", name, input=b"pw\n").returncode, 1)
        self.assertEqual(self.server.ok("user", "list", "--quiet"), b"")

    def test_nobody_without_a_user(self):
        self.start(sasl="SCRAM-SHA-256", users=False)
        self.logged("no_users")
        done = self.client("topic", "list", user=None)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"authentication required", done.stderr)
        self.assertIn(b"--user", done.stderr)
        done = self.client("topic", "list")
        self.assertIn(b"authentication failed", done.stderr)
        self.server.stop()
        done = self.start(tls=False, users=False)
        done = self.client("topic", "list", tls=False)
        self.assertIn(b"give no user", done.stderr)

    def test_native_authentication_by_hand(self):
        self.start(tls=False, sasl="PLAIN")
        with Native(self.server.addr) as native:
            self.assertEqual(native.ask("AUTH"), b"OK PLAIN")
            self.assertEqual(native.ask(b"AUTH PLAIN \0alice\0" + SECRET.encode()), b"OK ")
            self.assertEqual(native.ask("REGISTER t"), b"OK")
        with Native(self.server.addr) as native:
            native.send("REGISTER t")
            native.send("PUT t stranger")
            self.assertEqual(native.receive(), b"ERR authentication required")
            self.assertRaises(EOFError, native.receive)
        with Native(self.server.addr) as native:
            self.assertEqual(native.ask("AUTH PLAIN \0alice\0wrong"), b"ERR authentication failed")
            self.assertRaises(EOFError, native.receive)
        with Native(self.server.addr) as native:
            self.assertEqual(native.ask("AUTH GSSAPI x"), b"ERR unsupported mechanism: PLAIN")
            self.assertRaises(EOFError, native.receive)

    def test_a_producer_and_a_consumer_log_in(self):
        self.start(sasl="SCRAM-SHA-512")
        self.client_ok("topic", "create", "t")
        lines = b"".join(b"line %d\n" % i for i in range(5000))
        self.client_ok("produce", "t", input=lines)
        self.assertEqual(self.client_ok("consume", "t"), lines)


class Refusals(unittest.TestCase):
    def test_open_ports_without_authentication(self):
        with tempfile.TemporaryDirectory() as directory:
            for flag in ("--listen", "--kafka-listen", "--admin-listen"):
                done = walrus("serve", "--data-dir", directory + "/data", flag, "0.0.0.0:0")
                self.assertEqual(done.returncode, 1)
                self.assertIn(b"not a loopback address", done.stderr)
                self.assertIn(b"--insecure", done.stderr)


if __name__ == "__main__":
    main()
