#!/usr/bin/env python3
"""TLS, SASL and users, with real clients: kcat, openssl s_client, the command line, raw sockets.
Certificates are made anew by each test."""

import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import unittest

from authority import Authority
from walrus import (BINARY, DEADLINE, Native, Server, Terminal, environment, main, wait_until,
                    walrus)

ALICE, SECRET = "alice", "correct horse battery"


class SecurityTest(unittest.TestCase):
    """A directory, a CA and what it signed; a server when the test starts one."""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="walrus-security-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.ca = Authority(self.directory)
        self.certificate, self.key = self.ca.sign("server", "/CN=server")
        self.data = self.path("data")
        self.password = self.write("password", SECRET + "\n")

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def add_user_offline(self, name=ALICE, password=SECRET):
        done = walrus("user", "add", name, "--data-dir", self.data,
                      input=(password + "\n").encode())
        self.assertEqual(done.returncode, 0, done.stderr)

    def start(self, *settings, tls=True, sasl="", users=True):
        if users:
            self.add_user_offline()
        words = []
        if tls:
            words += ["--set", f"security.certificate={self.certificate}",
                      "--set", f"security.key={self.key}"]
        if sasl:
            words += ["--set", f"security.sasl={sasl}"]
        for setting in settings:
            words += ["--set", setting]
        self.server = Server(self.data, *words).start()
        self.addCleanup(self.server.close)
        return self.server

    def kcat(self, *arguments, input=b"", timeout=DEADLINE):
        words = ["kcat", "-b", self.server.kafka, *(str(word) for word in arguments)]
        return subprocess.run(words, input=input, capture_output=True, timeout=timeout)

    def kafka_flags(self, protocol, mechanism=None, password=SECRET, user=ALICE, ca=None):
        flags = ["-X", f"security.protocol={protocol}"]
        if "ssl" in protocol:
            flags += ["-X", f"ssl.ca.location={ca or self.ca.pem}"]
        if mechanism:
            flags += ["-X", f"sasl.mechanism={mechanism}", "-X", f"sasl.username={user}",
                      "-X", f"sasl.password={password}"]
        return flags

    def goes_through(self, flags, topic="t"):
        line = os.urandom(8).hex()
        done = self.kcat("-P", "-t", topic, *flags, input=line.encode() + b"\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        done = self.kcat("-C", "-t", topic, "-o", "beginning", "-e", "-q", *flags)
        self.assertIn(line, done.stdout.decode().splitlines(), done.stderr)

    def refused(self, flags, *expected):
        """kcat is not let in, and says one of these."""
        done = self.kcat("-L", "-m", 5, *flags)
        self.assertNotEqual(done.returncode, 0, done.stdout)
        text = done.stderr.decode()
        self.assertTrue(any(word in text for word in expected), text)

    def client(self, *verb, user=ALICE, tls=True, password=None, **options):
        words = list(verb)
        if tls:
            words += ["--tls-ca", self.ca.pem]
        if user:
            words += ["--user", user, "--password-file", password or self.password]
        return walrus(*words, addr=self.server.addr, **options)

    def client_ok(self, *verb, **options):
        done = self.client(*verb, **options)
        self.assertEqual(done.returncode, 0, (verb, done.stderr))
        return done.stdout

    def connect(self, address):
        host, port = address.rsplit(":", 1)
        connection = socket.create_connection((host, int(port)), timeout=DEADLINE)
        self.addCleanup(connection.close)
        return connection

    def connect_tls(self, address, **settings):
        context = ssl.create_default_context(cafile=self.ca.pem)
        for name, value in settings.items():
            setattr(context, name, value)
        connection = context.wrap_socket(self.connect(address), server_hostname="localhost")
        self.addCleanup(connection.close)
        return connection

    def s_client(self, *words, address=None):
        done = subprocess.run(["openssl", "s_client", "-connect", address or self.server.kafka,
                               "-CAfile", self.ca.pem, *words], input=b"", capture_output=True,
                              timeout=DEADLINE)
        return (done.stdout + done.stderr).decode(errors="replace")

    def logged(self, pattern):
        return wait_until(lambda: re.search(pattern, self.server.error_text()), pattern)


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


class Tls(SecurityTest):
    def test_tls_alone(self):
        self.start(users=False)
        self.goes_through(self.kafka_flags("ssl"))
        self.assertEqual(self.client_ok("topic", "list", "--quiet", user=None), b"t\n")

    def test_what_is_negotiated(self):
        self.start(users=False)
        for version in ("-tls1_2", "-tls1_3"):
            text = self.s_client(version)
            self.assertIn("Verify return code: 0 (ok)", text)
            self.assertIn("Compression: NONE", text)
            self.assertNotIn("BEGIN SSL SESSION PARAMETERS", text)
        self.assertIn("Secure Renegotiation IS", self.s_client("-tls1_2"))
        for old in (("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
                    ("-tls1", "-cipher", "ALL:@SECLEVEL=0"),
                    ("-tls1_2", "-cipher", "AES128-SHA:AES256-SHA256:@SECLEVEL=0")):
            text = self.s_client(*old)
            self.assertIn("alert", text, old)
            self.assertIn("no peer certificate available", text)
        self.logged(r"tls_handshake_failed port=kafka peer=127\.0\.0\.1:\d+ "
                    r"error=.*(protocol|cipher)")

    def test_wrong_ca_and_expired_certificate(self):
        self.start(users=False)
        other = Authority(self.directory, "other")
        self.refused(self.kafka_flags("ssl", ca=other.pem), "certificate verify failed",
                     "SSL handshake failed")
        done = walrus("topic", "list", "--tls-ca", other.pem, addr=self.server.addr)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"certificate", done.stderr)

    def test_expired_certificate_is_not_served(self):
        self.certificate, self.key = self.ca.sign("old", "/CN=server", days=-1)
        done = walrus("serve", "--data-dir", self.data, "--listen", "127.0.0.1:0",
                      "--set", f"security.certificate={self.certificate}",
                      "--set", f"security.key={self.key}")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"expired", done.stderr)

    def test_plaintext_and_tls_meet(self):
        self.start(users=False)
        plain = self.connect(self.server.kafka)
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        self.assertIn(b"speaks TLS", plain.recv(4096))
        with Native(self.server.addr) as native:
            self.assertEqual(native.ask("LIST"), b"ERR this port speaks TLS")
        done = walrus("topic", "list", addr=self.server.addr)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"TLS", done.stderr)
        self.refused(["-X", "security.protocol=plaintext"], "isconnected", "timed out")
        self.server.stop()
        self.start(tls=False, users=False)
        done = self.client("topic", "list", user=None)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"TLS", done.stderr)
        self.refused(self.kafka_flags("ssl"), "SSL", "isconnected")
        self.logged("foreign_protocol .*speaks=\"TLS, on the native port")
        self.logged("foreign_protocol .*speaks=\"TLS, on the Kafka port")

    def test_certificates_of_clients(self):
        self.start(f"security.ca={self.ca.pem}", "security.client_certificate=required",
                   users=False)
        certificate, key = self.ca.sign("bob", "/O=example/CN=bob", names="")
        own = ["-X", f"ssl.certificate.location={certificate}", "-X", f"ssl.key.location={key}"]
        self.goes_through(self.kafka_flags("ssl") + own)
        self.refused(self.kafka_flags("ssl"), "SSL", "isconnected")
        stranger = Authority(self.directory, "stranger")
        bad_certificate, bad_key = stranger.sign("eve", "/CN=bob", names="")
        self.refused(self.kafka_flags("ssl") + ["-X", f"ssl.certificate.location={bad_certificate}",
                                                "-X", f"ssl.key.location={bad_key}"],
                     "SSL", "isconnected")
        old_certificate, old_key = self.ca.sign("late", "/CN=bob", days=-1, names="")
        self.refused(self.kafka_flags("ssl") + ["-X", f"ssl.certificate.location={old_certificate}",
                                                "-X", f"ssl.key.location={old_key}"],
                     "SSL", "isconnected")
        words = ["--tls-cert", certificate, "--tls-key", key]
        self.client_ok("user", "add", "carol", *words, user=None, input=b"pw\n")
        self.logged("user_changed user=carol by=\"CN=bob,O=example\"")
        self.assertEqual(self.client("topic", "list", user=None).returncode, 1)

    def test_certificate_is_reloaded_under_live_connections(self):
        self.start(users=False)
        native = self.connect_tls(self.server.addr)

        def ask(body):
            native.sendall(struct.pack("<I", len(body)) + body)
            (size,) = struct.unpack("<I", native.recv(4))
            return native.recv(size)

        self.assertEqual(ask(b"REGISTER live"), b"OK")
        before = native.getpeercert()["serialNumber"]
        next_certificate, next_key = self.ca.sign("next", "/CN=next")
        # A broken one first: it is refused, and said so.
        whole = pathlib.Path(self.certificate).read_text(encoding="utf-8")
        self.replace(self.certificate, whole[:300])
        self.logged("certificate_refused")
        self.assertEqual(self.connect_tls(self.server.addr).getpeercert()["serialNumber"], before)
        self.replace(self.key, pathlib.Path(next_key).read_text(encoding="utf-8"))
        self.replace(self.certificate, pathlib.Path(next_certificate).read_text(encoding="utf-8"))
        self.logged("certificate_reloaded")
        after = self.connect_tls(self.server.addr).getpeercert()["serialNumber"]
        self.assertNotEqual(after, before)
        self.assertEqual(ask(b"PUT live still"), b"OK")
        self.goes_through(self.kafka_flags("ssl"), "live")

    def test_sighup_reads_the_certificate_now(self):
        self.start(users=False)
        before = self.connect_tls(self.server.addr).getpeercert()["serialNumber"]
        certificate, key = self.ca.sign("next", "/CN=next")
        self.server.process.send_signal(signal.SIGHUP)
        self.logged("certificate_reloaded")  # the same again
        self.replace(self.key, pathlib.Path(key).read_text(encoding="utf-8"))
        self.replace(self.certificate, pathlib.Path(certificate).read_text(encoding="utf-8"))
        self.server.process.send_signal(signal.SIGHUP)
        self.logged("(?s)certificate_reloaded.*certificate_reloaded")
        after = self.connect_tls(self.server.addr).getpeercert()["serialNumber"]
        self.assertNotEqual(after, before)
        self.server.stop()
        self.start(tls=False, users=False)
        self.server.process.send_signal(signal.SIGHUP)
        self.logged("nothing_to_reload")
        self.assertIsNone(self.server.process.poll())

    def replace(self, path, text):
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(path + ".new", path)

    def test_half_open_handshakes_are_bounded(self):
        wanted = 10_000 + 500
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(wanted, 1)), hard))
        count = min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500)
        self.start("limits.newcomers_max=200", "kafka.connections_max=2000", users=False)
        half = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"r" * 32
        held = []
        self.addCleanup(lambda: [stranger.close() for stranger in held])

        def flood():
            """All of them stay; the KiB that they cost."""
            before = self.rss()
            for i in range(count // 4):
                stranger = socket.create_connection(self.address(), timeout=DEADLINE)
                held.append(stranger)
                try:
                    if i % 2:
                        stranger.sendall(half)
                except ConnectionError:
                    pass
            wait_until(lambda: self.server.metrics()["walrus_kafka_connections"] <= 400,
                       "the strangers are cut")
            self.goes_through(self.kafka_flags("ssl"))
            return self.rss() - before

        # As much as 2,000 connections at once may cost, and from then on nothing more.
        floods = [flood() for _ in range(4)]
        print(f"{count} half-open handshakes: {floods} KiB more", flush=True)
        self.assertLess(sum(floods), 192 * 1024)
        self.assertLess(floods[3], 32 * 1024)

    def address(self):
        host, port = self.server.kafka.rsplit(":", 1)
        return host, int(port)

    def rss(self):
        status = pathlib.Path(f"/proc/{self.server.process.pid}/status").read_text(encoding="utf-8")
        return int(re.search(r"RssAnon:\s+(\d+)", status)[1])


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
