#!/usr/bin/env python3
"""A file system that cannot be written (root), and a process that may open no more files: a clear
error, nothing acknowledged lost, and it goes on once the cause is gone."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest

from disk_full_test import why_no_mount
from walrus import Native, Server, ServerTest, main, wait_until, walrus

LINES = b"".join(b"line %d\n" % i for i in range(5_000))


class ReadOnly(unittest.TestCase):
    def remount(self, how):
        subprocess.run(["mount", "-o", f"remount,{how}", self.mount], check=True)

    def setUp(self):
        self.mount = tempfile.mkdtemp(prefix="walrus-readonly-")
        self.addCleanup(shutil.rmtree, self.mount, ignore_errors=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g", "tmpfs", self.mount], check=True)
        self.addCleanup(subprocess.run, ["umount", self.mount], check=True)
        self.data = os.path.join(self.mount, "data")
        self.server = Server(self.data, "--set", "log.shards=1").start()
        self.addCleanup(self.server.close)
        self.server.ok("topic", "create", "t")
        self.server.ok("produce", "t", input=LINES)

    def test_a_read_only_file_system_is_named_and_read(self):
        for stop in (self.server.kill9, self.server.stop):
            stop()
            self.remount("ro")
            done = walrus("serve", "--data-dir", self.data, "--listen", "127.0.0.1:0",
                          "--admin-listen", "127.0.0.1:0")
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertRegex(done.stderr.decode(), r"\Awalrus: [^\n]*(?i:read-only)[^\n]*\n\Z")
            self.assertIn(self.data, done.stderr.decode())
            done = walrus("log", "verify", self.data)
            self.assertEqual((done.returncode, done.stderr), (0, b""), done.stdout)
            done = walrus("log", "inspect", self.data)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout.decode(), r"(?m)^t +\d+ +fsync +0 +5000 ")
            self.remount("rw")
            self.server.start()
            self.assertEqual(self.server.ok("consume", "t"), LINES)


class Descriptors(ServerTest):
    def test_no_more_files_may_be_opened_for_a_while(self):
        self.server.ok("topic", "create", "t", "--set", "segment_records_max=500")
        self.server.ok("produce", "t", input=LINES)
        pid = self.server.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        with Native(self.server.addr) as connection:
            self.assertRegex(connection.ask("APPEND t first"), rb"^OK 5000$")
            open_now = len(os.listdir(f"/proc/{pid}/fd"))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(1, open_now // 2), before[1]))
            # What it has is enough for this, or the refusal says what is missing.
            acknowledged = [b"first"]
            for i in range(200):
                reply = connection.ask(b"APPEND t %d" % i)
                if reply.startswith(b"OK "):
                    acknowledged.append(b"%d" % i)
                else:
                    self.assertTrue(reply.startswith(b"ERR "), reply)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
            wait_until(lambda: connection.ask("APPEND t last").startswith(b"OK "),
                       "writes to go on")
        lines = self.server.ok("consume", "t")
        self.assertTrue(lines.startswith(LINES))
        rest = lines[len(LINES):].split()
        self.assertEqual(rest, acknowledged + [b"last"])
        self.server.kill9()
        self.server.start()
        self.assertEqual(self.server.ok("consume", "t"), lines)


if __name__ == "__main__":
    if reason := why_no_mount():
        print(f"SKIP {reason}")
        sys.exit(77)
    main()
