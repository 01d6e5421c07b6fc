#!/usr/bin/env python3
"""Verbs on a data directory: log inspect, log verify, backup, restore."""

import json
import os
import pathlib
import re
import threading

from walrus import Native, Server, ServerTest, main, wait_until, walrus

LINES = b"".join(b"line %d\n" % i for i in range(20_000))


class DataDirectory(ServerTest):
    def setUp(self):
        super().setUp()
        self.server.ok("topic", "create", "t", "--set", "segment_records_max=5000")
        self.server.ok("produce", "t", input=LINES)
        # Little of many streams: what a checkpoint packs into one file.
        self.server.ok("topic", "create", "small", "--partitions", "8")
        self.server.ok("produce", "small", "--batch-records", "1", input=b"x\n" * 64)

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

    def test_what_inspect_says_of_streams_and_files(self):
        self.assertEqual(self.server.stop(), 0)
        document = json.loads(walrus("log", "inspect", self.server.directory, "--json").stdout)
        streams = {s["name"]: s for s in document["streams"]}
        self.assertEqual(list(streams["t"]),
                         ["name", "id", "options", "clean", "log_start", "high_watermark",
                          "log_end", "segments", "bytes", "reclaimed_bytes", "oldest_ms",
                          "newest_ms"])
        self.assertEqual(streams["t"]["options"],
                         {"durability": "fsync", "segment_records_max": 5000,
                          "segment_bytes_max": 1 << 30, "segment_time_max_ms": None,
                          "retention_bytes": None, "retention_time_ms": None, "compact": False,
                          "tombstone_retention_ms": 86_400_000, "compaction_lag_min_ms": 0,
                          "compaction_lag_max_ms": None})
        stored = {"segment": set(), "pack": set()}
        for file in document["files"]:
            self.assertEqual(list(file), ["path", "kind", "bytes", "streams"])
            if file["kind"] in stored:
                self.assertTrue(file["streams"], file)
                stored[file["kind"]].update(file["streams"])
            else:
                self.assertEqual(file["streams"], [], file)
        small = {s["id"] for name, s in streams.items() if name.startswith("small")}
        self.assertEqual((stored["segment"], stored["pack"]), ({streams["t"]["id"]}, small))

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
        # What is damaged is refused, by name; what is not is served.
        self.server.start()
        with Native(self.server.addr) as native:
            self.assertRegex(native.ask("READ t 2500"),
                             rb"\AERR corrupt: [^\n]*" + re.escape(segments[0].name.encode()))
            self.assertTrue(native.ask("READ t 12000").startswith(b"OK "))

    def test_verify_and_readers_find_damage_beside_a_running_server(self):
        self.server.ok("topic", "create", "other")
        self.server.ok("put", "other", "sound")
        self.assertEqual(self.server.stop(), 0)  # closing writes segment files
        self.server.start()
        segments = pathlib.Path(self.server.directory).rglob("*.seg")
        segment = max(segments, key=lambda path: path.stat().st_size)
        data = bytearray(segment.read_bytes())
        with open(segment, "r+b") as file:
            file.seek(len(data) // 2)
            file.write(bytes([data[len(data) // 2] ^ 1]))
        done = walrus("log", "verify", self.server.directory)
        self.assertEqual(done.returncode, 3, (done.stdout, done.stderr))
        self.assertRegex(done.stdout.decode(), rf"(?m){segment.name} position \d+: corrupt: ")
        done = self.server.run("consume", "t")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertTrue(LINES.startswith(done.stdout), "nothing wrong is served")
        self.assertLess(len(done.stdout), len(LINES))
        self.assertIn(segment.name.encode(), done.stderr)
        self.assertEqual(self.server.ok("consume", "other"), b"sound\n")
        segment.write_bytes(data)  # mended: nothing else was lost
        self.assertEqual(self.server.ok("consume", "t"), LINES)

    def test_verify_finds_a_damaged_copy_that_does_no_harm(self):
        self.server.kill9()
        journals = [path for path in pathlib.Path(self.server.directory).rglob("*.wal")
                    if path.read_bytes()[:7] == b"WALRUSJ"]
        manifests = list(pathlib.Path(self.server.directory).rglob("manifest-*"))
        self.assertTrue(journals and manifests)
        for path in manifests:
            data = path.read_bytes()
            path.write_bytes(data[:20] + bytes([data[20] ^ 4]) + data[21:])
            done = walrus("log", "verify", self.server.directory)
            self.assertEqual(done.returncode, 3, (path, done.stdout))
            self.assertIn(path.name.encode(), done.stdout)
            path.write_bytes(data)
        self.assertEqual(walrus("log", "verify", self.server.directory).returncode, 0)

    def test_a_strange_file_goes_to_quarantine(self):
        self.assertEqual(self.server.stop(), 0)
        strange = pathlib.Path(self.server.directory, "segments", "strange.seg")
        strange.write_bytes(b"not of this log")
        self.server.start()
        self.assertFalse(strange.exists())
        kept = pathlib.Path(self.server.directory, "quarantine", "strange.seg")
        self.assertEqual(kept.read_bytes(), b"not of this log")
        self.assertEqual(self.server.ok("consume", "t"), LINES)
        document = json.loads(walrus("log", "inspect", self.server.directory, "--json").stdout)
        kinds = {file["path"]: file["kind"] for file in document["files"]}
        self.assertEqual(kinds["quarantine/strange.seg"], "quarantine")

    def test_backups_while_writes_go_on_hold_all_that_was_acknowledged(self):
        self.server.ok("topic", "create", "busy", "--set", "segment_records_max=500")
        stop, acknowledged, errors = threading.Event(), [0], []

        def write():
            with Native(self.server.addr) as connection:
                while not stop.is_set():
                    reply = connection.ask(b"APPEND busy %d" % acknowledged[0])
                    if reply != b"OK %d" % acknowledged[0]:
                        errors.append(reply)
                        return
                    acknowledged[0] += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for i in range(3):
                target = acknowledged[0] + 300
                wait_until(lambda: errors or acknowledged[0] > target, "writes to go on")
                before = acknowledged[0]
                done = walrus("backup", self.server.directory, self.path(f"backup{i}"))
                self.assertEqual(done.returncode, 0, done.stderr)
                done = walrus("log", "verify", self.path(f"backup{i}"))
                self.assertEqual(done.returncode, 0, done.stdout)
                other = Server(self.path(f"backup{i}")).start()
                try:
                    lines = other.ok("consume", "busy").split()
                    self.assertGreaterEqual(len(lines), before)
                    self.assertEqual(lines, [b"%d" % n for n in range(len(lines))])
                    self.assertEqual(other.ok("consume", "t"), LINES)
                finally:
                    other.close()
        finally:
            stop.set()
            writer.join()
        self.assertEqual(errors, [])

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
