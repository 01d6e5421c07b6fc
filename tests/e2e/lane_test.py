#!/usr/bin/env python3
"""walrus lane: files that move between two processes, whole, resumed, and on loopback only."""

import hashlib
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

from walrus import BINARY, environment, main, wait_until, walrus

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


class Lane(unittest.TestCase):
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

    def test_off_loopback_nothing_listens(self):
        done = walrus("lane", "receive", "--listen", "0.0.0.0:0", "--into", self.into)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"0.0.0.0:0 is not a loopback address: a lane to another machine needs mutual"
                      b" TLS", done.stderr)
        self.assertFalse(self.into.exists())


if __name__ == "__main__":
    main()
