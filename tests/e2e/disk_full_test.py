#!/usr/bin/env python3
"""A full disk, on a small file system of its own (root): writes are refused with a clear error,
nothing acknowledged is lost, and after freeing space writes resume without a restart."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

from walrus import Server, main, wait_until

SIZE = "220m"


class DiskFull(unittest.TestCase):
    def setUp(self):
        self.mount = tempfile.mkdtemp(prefix="walrus-full-")
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", self.mount],
                       check=True)
        self.addCleanup(self.unmount)
        self.server = Server(os.path.join(self.mount, "data"),
                             "--set", "log.shards=1").start()
        self.addCleanup(lambda: self.server.process.poll() is None and self.server.kill9())

    def unmount(self):
        subprocess.run(["umount", self.mount], check=True)
        shutil.rmtree(self.mount, ignore_errors=True)

    def test_full_then_freed(self):
        self.server.ok("topic", "create", "kept")
        self.server.ok("put", "kept", "before")
        self.server.ok("topic", "create", "big")
        line = b"%07d " + b"x" * 9_990 + b"\n"
        data = b"".join(line % i for i in range(40_000))  # 400 MB into 220 MB
        done = self.server.run("produce", "big", "--retry-ms", "2000", input=data, timeout=300)
        text = done.stderr.decode().splitlines()[-1]
        self.assertEqual(done.returncode, 1, text)
        self.assertRegex(text, r"walrus: produce big: storage full; .*acknowledged before: \d+")
        acknowledged = int(text.split("acknowledged before: ")[1].split()[0])
        self.assertGreater(acknowledged, 1_000)
        refused = self.server.run("put", "kept", "x")
        self.assertEqual(refused.returncode, 1)
        self.assertIn(b"walrus: put kept: storage full; free disk space", refused.stderr)
        # Reading goes on, and everything acknowledged is there.
        out = self.server.ok("consume", "big", "--count", str(acknowledged), timeout=300)
        self.assertTrue(out == data[:acknowledged * len(line % 0)])
        self.server.ok("topic", "delete", "big", "--yes")
        wait_until(lambda: self.server.run("put", "kept", "after").returncode == 0,
                   "writes to resume after a delete")
        self.assertEqual(self.server.ok("consume", "kept"), b"before\nafter\n")
        self.server.kill9()
        self.server.start()
        self.assertEqual(self.server.ok("consume", "kept"), b"before\nafter\n")


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("SKIP: needs root to mount a small file system")
        sys.exit(77)
    main()
