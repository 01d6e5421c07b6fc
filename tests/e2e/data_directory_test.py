#!/usr/bin/env python3
"""Verbs on a data directory: log inspect, log verify, backup, restore."""

import json
import os
import pathlib
import unittest

from walrus import Server, ServerTest, main, walrus

LINES = b"".join(b"line %d\n" % i for i in range(20_000))


class DataDirectory(ServerTest):
    def setUp(self):
        super().setUp()
        self.server.ok("topic", "create", "t", "--set", "segment_records_max=5000")
        self.server.ok("produce", "t", input=LINES)

    def test_inspect_beside_a_running_server(self):
        done = walrus("log", "inspect", self.server.directory, "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        document = json.loads(done.stdout)
        self.assertEqual(set(document), {"format", "streams", "files"})
        streams = {s["name"]: s for s in document["streams"]}
        self.assertEqual(streams["t"]["log_end"], 20_000)
        kinds = {file["kind"] for file in document["files"]}
        self.assertIn("journal", kinds)
        self.assertNotIn("unknown", kinds)
        text = walrus("log", "inspect", self.server.directory).stdout.decode()
        self.assertRegex(text, r"(?m)^t +\d+ +fsync +0 +20000 ")
        self.server.ok("put", "t", "the server goes on")

    def test_verify_a_sound_directory(self):
        for running in (True, False):
            if not running:
                self.assertEqual(self.server.stop(), 0)
            done = walrus("log", "verify", self.server.directory)
            self.assertEqual((done.returncode, done.stderr), (0, b""), done.stdout)
            self.assertRegex(done.stdout.decode(), r"\d+ files, .* bytes: every checksum holds\n\Z")

    def test_verify_finds_a_flipped_bit(self):
        self.assertEqual(self.server.stop(), 0)
        segments = sorted(pathlib.Path(self.server.directory).rglob("*.seg"))
        self.assertTrue(segments, "a checkpoint left segment files")
        data = bytearray(segments[0].read_bytes())
        data[len(data) // 2] ^= 1
        segments[0].write_bytes(data)
        done = walrus("log", "verify", self.server.directory)
        self.assertEqual(done.returncode, 3, (done.stdout, done.stderr))
        self.assertIn(segments[0].name.encode(), done.stdout)
        document = json.loads(walrus("log", "verify", self.server.directory, "--json").stdout)
        self.assertEqual(set(document), {"files", "records", "bytes", "findings"})
        self.assertEqual(set(document["findings"][0]), {"file", "position", "code", "what"})
        self.assertEqual(document["findings"][0]["code"], "corrupt")

    def test_what_is_no_data_directory(self):
        os.mkdir(self.path("empty"))
        for verb in (["log", "inspect"], ["log", "verify"]):
            for name in ("empty", "missing"):
                done = walrus(*verb, self.path(name))
                self.assertEqual(done.returncode, 1, (verb, name, done.stdout))
                self.assertRegex(done.stderr.decode(), r"\Awalrus: log \w+ [^\n]+\n\Z")
        self.assertEqual(os.listdir(self.path("empty")), [])
        self.assertFalse(os.path.exists(self.path("missing")))

    def test_backup_of_a_running_server_and_restore(self):
        done = walrus("backup", self.server.directory, self.path("backup"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.server.ok("put", "t", "after the backup")
        done = walrus("restore", self.path("backup"), self.path("restored"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(walrus("log", "verify", self.path("restored")).returncode, 0)
        other = Server(self.path("restored")).start()
        try:
            self.assertEqual(other.ok("consume", "t"), LINES)
            self.assertEqual(other.stop(), 0)
        finally:
            other.close()
        self.assertEqual(walrus("restore", self.path("backup"), self.path("restored")).returncode,
                         1, "never over what is there")

    def test_a_backup_does_not_overwrite(self):
        os.mkdir(self.path("taken"))
        pathlib.Path(self.path("taken"), "file").write_text("x")
        done = walrus("backup", self.server.directory, self.path("taken"))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr.decode(), r"\Awalrus: backup [^\n]+\n\Z")
        self.assertEqual(os.listdir(self.path("taken")), ["file"])


if __name__ == "__main__":
    main()
