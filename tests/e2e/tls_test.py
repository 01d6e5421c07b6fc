#!/usr/bin/env python3
"""TLS with real clients: kcat, openssl s_client, the command line, raw sockets."""

import os
import pathlib
import re
import resource
import signal
import socket
import ssl
import struct

from authority import Authority
from secured import SecurityTest
from walrus import DEADLINE, Native, main, wait_until, walrus


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
            native.sendall(Native.frame(body))
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


if __name__ == "__main__":
    main()
