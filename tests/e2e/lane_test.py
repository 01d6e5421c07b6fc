#!/usr/bin/env python3
"""walrus lane: files that move between two processes, whole, resumed, and off loopback only where
both sides show a certificate."""

import hashlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import unittest

from walrus import BINARY, DEADLINE, environment, main, wait_until, walrus

MIB = 1 << 20


class Receiver:
    def __init__(self, into, *flags, listen="127.0.0.1:0"):
        self.process = subprocess.Popen(
            [BINARY, "lane", "receive", "--listen", listen, "--into", into, "--json", *flags],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        self.address = json.loads(self.process.stdout.readline())["listen"]

    def received(self):
        return json.loads(self.process.stdout.readline())

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        status = self.process.wait(60)
        self.process.stdout.close()
        self.process.stderr.close()
        return status


class LaneTest(unittest.TestCase):
    """A directory to send into."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="walrus-lane-")
        self.addCleanup(directory.cleanup)
        self.root = pathlib.Path(directory.name)
        self.into = self.root / "in"

    def receiver(self, *flags, listen="127.0.0.1:0"):
        receiver = Receiver(self.into, *flags, listen=listen)
        self.addCleanup(lambda: receiver.process.poll() is None and receiver.end(signal.SIGKILL))
        return receiver

    def file(self, name, size):
        path = self.root / name
        path.write_bytes(os.urandom(size))
        return path


class Lane(LaneTest):
    def test_a_file_arrives_and_both_say_its_digest(self):
        receiver = self.receiver()
        for size in (0, 1, 20 * MIB + 7):
            path = self.file(f"file-{size}", size)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            done = walrus("lane", "send", path, "--to", receiver.address)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            self.assertEqual(done.stdout.decode(),
                             f"sent {path.name} bytes {size} sha256 {digest}\n")
            said = receiver.received()
            self.assertEqual(said, {"name": path.name, "bytes": size, "sha256": digest,
                                    "path": str(self.into / path.name)})
            self.assertEqual((self.into / path.name).read_bytes(), path.read_bytes())
        self.assertEqual(receiver.end(), 130)

    def test_a_name_a_range_and_a_repetition(self):
        receiver = self.receiver()
        path = self.file("file", 100_000)
        send = ("lane", "send", path, "--to", receiver.address, "--json")
        done = walrus(*send, "--name", "part-of-it", "--offset", "1000", "--length", "5000")
        self.assertEqual(json.loads(done.stdout)["bytes"], 5000)
        self.assertEqual((self.into / "part-of-it").read_bytes(), path.read_bytes()[1000:6000])
        self.assertEqual(json.loads(walrus(*send).stdout)["sent"], 100_000)
        self.assertEqual(json.loads(walrus(*send).stdout)["sent"], 0)
        path.write_bytes(b"something else")
        again = walrus(*send)
        self.assertEqual(again.returncode, 1)
        self.assertEqual(json.loads(again.stderr)["error"]["code"], "exists")

    def test_a_killed_receiver_goes_on_where_it_was(self):
        receiver = self.receiver()
        path = self.file("file", 40 * MIB)
        sender = subprocess.Popen(
            [BINARY, "lane", "send", path, "--to", receiver.address, "--json", "--rate",
             str(20 * MIB)], stdout=subprocess.PIPE, env=environment())
        part = self.into / "file.part"
        wait_until(lambda: part.exists() and part.stat().st_size > 9 * MIB, "bytes")
        receiver.end(signal.SIGKILL)
        self.receiver(listen=receiver.address)
        said = json.loads(sender.stdout.read())
        sender.stdout.close()
        self.assertEqual(sender.wait(60), 0)
        self.assertLess(said["sent"], 2 * 40 * MIB - 8 * MIB)
        self.assertEqual((self.into / "file").read_bytes(), path.read_bytes())
        self.assertFalse(part.exists())

    def test_limits_and_what_cannot_be_read(self):
        receiver = self.receiver("--bytes-max", "1000")
        for words, text in (
                ((self.file("large", 1001), "--to", receiver.address),
                 "large: 1001 bytes, the limit is 1000"),
                ((self.root / "none", "--to", receiver.address), "No such file"),
                ((self.file("a b", 1), "--to", receiver.address), "a lane's name is"),
                ((self.file("x", 1), "--to", receiver.address, "--offset", "2"), "has 1 bytes"),
                ((self.file("y", 1), "--to", "127.0.0.1:1", "--timeout-ms", "300"), "refused"),
                ((self.file("z", 1), "--to", "192.0.2.1:9095"), "mutual TLS")):
            done = walrus("lane", "send", *words)
            self.assertEqual(done.returncode, 1, words)
            self.assertRegex(done.stderr.decode(), "^walrus: lane send [^\n]*" + text)
        self.assertEqual(list(self.into.glob("*")) if self.into.exists() else [], [])

    def test_a_directory_has_its_limit(self):
        receiver = self.receiver("--directory-bytes-max", "1500")
        self.assertEqual(walrus("lane", "send", self.file("a", 1000), "--to",
                                receiver.address).returncode, 0)
        done = walrus("lane", "send", self.file("b", 501), "--to", receiver.address)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"b: 501 bytes, 500 are left of the directory's 1500", done.stderr)

    def test_off_loopback_nothing_listens(self):
        done = walrus("lane", "receive", "--listen", "0.0.0.0:0", "--into", self.into)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"0.0.0.0:0 is not a loopback address: a lane to another machine needs mutual"
                      b" TLS", done.stderr)
        self.assertFalse(self.into.exists())


class SecureLane(LaneTest):
    """With certificates of `walrus cert`."""

    def setUp(self):
        super().setUp()
        self.certs = self.root / "certs"
        self.cert("ca", self.certs)
        self.cert("node", self.certs, "--node-id", "1")
        self.cert("node", self.certs, "--node-id", "2")

    def cert(self, *words):
        done = walrus("cert", *words)
        self.assertEqual(done.returncode, 0, done.stderr)

    def flags(self, node, certs=None):
        certs = certs or self.certs
        return ("--tls-ca", certs / "ca.pem", "--tls-cert", certs / f"node-{node}.pem",
                "--tls-key", certs / f"node-{node}.key")

    def secure_receiver(self, *flags, listen="127.0.0.1:0"):
        return self.receiver(*flags, *self.flags(1), listen=listen)

    def send(self, path, address, *flags, node=2, certs=None):
        return walrus("lane", "send", path, "--to", address, *self.flags(node, certs), *flags)

    def test_both_sides_prove_who_they_are(self):
        receiver = self.secure_receiver(listen="0.0.0.0:0")
        address = receiver.address.replace("0.0.0.0", "127.0.0.1")
        path = self.file("file", 5 * MIB)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        done = self.send(path, address, "--to-node", "1")
        self.assertEqual(done.stdout.decode(), f"sent file bytes {5 * MIB} sha256 {digest}\n",
                         done.stderr)
        self.assertEqual(receiver.received(), {"name": "file", "bytes": 5 * MIB, "sha256": digest,
                                               "path": str(self.into / "file"), "node": 2})
        self.assertEqual((self.into / "file").read_bytes(), path.read_bytes())

    def test_who_is_not_trusted_sends_nothing(self):
        receiver = self.secure_receiver()
        path = self.file("file", 1000)
        other = self.root / "other"
        for words in (("ca", other), ("node", other, "--node-id", "2")):
            self.cert(*words)
        mixed = self.root / "mixed"  # knows the receiver's CA and is signed by another
        mixed.mkdir()
        for name, source in (("ca.pem", self.certs), ("node-2.pem", other), ("node-2.key", other)):
            (mixed / name).write_bytes((source / name).read_bytes())
        for flags, certs, text in (
                ((), other, "certificate verify failed"),
                ((), mixed, "the peer refuses this certificate"),
                (("--to-node", "3"), None, "it is node 1, not 3")):
            done = self.send(path, receiver.address, *flags, certs=certs)
            self.assertEqual(done.returncode, 1, flags)
            self.assertRegex(done.stderr.decode(), "^walrus: lane send [^\n]*" + text)
        # Without a certificate nobody is heard, whatever is said.
        done = walrus("lane", "send", path, "--to", receiver.address, "--timeout-ms", "300")
        self.assertIn(b"this port speaks TLS only", done.stderr)
        # Nor does a sender with certificates speak to one without.
        plain = self.receiver(listen="127.0.0.1:0")
        done = self.send(path, plain.address)
        self.assertIn(b"does not speak TLS", done.stderr)
        self.assertEqual(list(self.into.glob("*")) if self.into.exists() else [], [])

    def test_a_certificate_is_for_its_addresses(self):
        self.cert("node", self.certs, "--node-id", "1", "--force", "--address", "10.9.9.9")
        receiver = self.secure_receiver()
        path = self.file("file", 1000)
        done = self.send(path, receiver.address)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"IP address mismatch", done.stderr)
        self.assertEqual(self.send(path, receiver.address, "--to-node", "1").returncode, 0)

    def test_what_is_missing_is_said(self):
        path = self.file("file", 1)
        for words in ((), ("--tls-ca", self.certs / "ca.pem"),
                      ("--tls-cert", self.certs / "node-2.pem", "--tls-key",
                       self.certs / "node-2.key")):
            done = walrus("lane", "send", path, "--to", "127.0.0.1:1", "--tls", *words)
            self.assertEqual(done.returncode, 1)
            self.assertIn(b"--tls-ca, --tls-cert and --tls-key come together", done.stderr)
        done = walrus("lane", "receive", "--listen", "127.0.0.1:0", "--into", self.into,
                      *self.flags(9))
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"node-9.pem: No such file", done.stderr)

    def test_a_cut_lane_goes_on(self):
        receiver = self.secure_receiver()
        path = self.file("file", 40 * MIB)
        sender = subprocess.Popen(
            [str(word) for word in (BINARY, "lane", "send", path, "--to", receiver.address,
                                    "--json", "--rate", 20 * MIB, *self.flags(2))],
            stdout=subprocess.PIPE, env=environment())
        part = self.into / "file.part"
        wait_until(lambda: part.exists() and part.stat().st_size > 9 * MIB, "bytes")
        receiver.end(signal.SIGKILL)
        self.secure_receiver(listen=receiver.address)
        said = json.loads(sender.stdout.read())
        sender.stdout.close()
        self.assertEqual(sender.wait(DEADLINE), 0)
        self.assertLess(said["sent"], 2 * 40 * MIB - 8 * MIB)
        self.assertEqual((self.into / "file").read_bytes(), path.read_bytes())
        self.assertFalse(part.exists())

    def heard_receiver(self):
        """A receiver whose lines on stderr can be read, and its address."""
        process = subprocess.Popen(
            [str(word) for word in (BINARY, "lane", "receive", "--listen", "127.0.0.1:0", "--into",
                                    self.into, *self.flags(1))],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        address = process.stdout.readline().decode().split("listen=")[1].split()[0]
        return process, address

    def test_strangers_are_told_off_and_leave_no_trace(self):
        process, address = self.heard_receiver()
        host, port = address.rsplit(":", 1)

        def client(*words):
            certs = self.certs
            return subprocess.run(
                ["openssl", "s_client", "-connect", address, "-CAfile", certs / "ca.pem", *words],
                input=b"", capture_output=True, timeout=DEADLINE, check=False)
        own = ("-cert", self.certs / "node-2.pem", "-key", self.certs / "node-2.key")
        good = client(*own)
        self.assertIn(b"TLSv1.3", good.stdout)
        self.assertIn(b"Verify return code: 0 (ok)", good.stdout)
        self.assertNotIn(b"New Session Ticket arrived", good.stdout)
        self.assertIn(b"alert protocol version", client("-tls1_2", *own).stderr)
        self.assertIn(b"tls_handshake_failed port=peer direction=in", process.stderr.readline())
        client()  # without a certificate
        line = process.stderr.readline()
        self.assertIn(b"did not return a certificate", line)
        self.assertNotIn(b"PRIVATE", line)
        with socket.create_connection((host, int(port)), DEADLINE) as garbage:
            garbage.sendall(b"\x16\x03\x01" + os.urandom(300))
            garbage.shutdown(socket.SHUT_WR)
            while garbage.recv(1000):
                pass
        self.assertIn(b"tls_handshake_failed", process.stderr.readline())
        path = self.file("file", 1000)
        self.assertEqual(self.send(path, address).returncode, 0)

    def test_new_certificates_come_in_without_a_restart(self):
        process, address = self.heard_receiver()
        self.cert("ca", self.certs, "--force")
        for node in "1", "2":
            self.cert("node", self.certs, "--node-id", node, "--force")
        self.assertIn(b"certificate_reloaded", process.stderr.readline())
        path = self.file("file", 1000)
        # The CA may have come in a moment before the certificate that it signed.
        wait_until(lambda: self.send(path, address).returncode == 0, "a send")


if __name__ == "__main__":
    main()
