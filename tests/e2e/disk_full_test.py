#!/usr/bin/env python3
"""A full disk, on a small file system of its own (root): writes are refused with a clear error,
nothing acknowledged is lost, and after freeing space writes resume without a restart."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

from walrus import Server, main, wait_until, walrus

MIB = 1 << 20
LINE = b"%07d " + b"x" * 99_991 + b"\n"  # 100,000 bytes


class DiskFull(unittest.TestCase):
    def setUp(self):
        self.mount = tempfile.mkdtemp(prefix="walrus-full-")
        self.addCleanup(shutil.rmtree, self.mount, ignore_errors=True)

    def serve(self, disk_bytes, *arguments):
        subprocess.run(mount_command(self.mount, disk_bytes), check=True)
        self.addCleanup(subprocess.run, ["umount", self.mount], check=True)
        self.disk_bytes = disk_bytes
        self.server = Server(os.path.join(self.mount, "data"), "--set", "log.shards=1",
                             *arguments).start()
        self.addCleanup(self.server.close)

    def refused_put(self):
        done = self.server.run("put", "big", "-", input=b"y" * 900_000)
        return done.stderr if done.returncode == 1 else None

    def fill_then_free(self):
        self.server.ok("topic", "create", "kept")
        self.server.ok("put", "kept", "before")
        self.server.ok("topic", "create", "big")
        data = b"".join(LINE % i for i in range(self.disk_bytes // len(LINE % 0)))  # too much
        done = self.server.run("produce", "big", "--retry-ms", "2000", input=data, timeout=300)
        text = done.stderr.decode().splitlines()[-1]
        self.assertEqual(done.returncode, 1, text)
        self.assertRegex(text, r"walrus: produce big: storage full; .*acknowledged before: \d+")
        acknowledged = int(text.split("acknowledged before: ")[1].split()[0])
        self.assertGreater(acknowledged, 500)
        print(f"{acknowledged} records of {len(LINE % 0)} bytes fit", flush=True)
        # What is left of the last file, if anything, takes a few more.
        refused = wait_until(lambda: self.refused_put(), "a put to be refused")
        self.assertIn(b"walrus: put big: storage full; free disk space", refused)
        # Reading goes on, and everything acknowledged is there.
        out = self.server.ok("consume", "big", "--count", str(acknowledged), timeout=300)
        self.assertTrue(out == data[:acknowledged * len(LINE % 0)])
        self.server.ok("topic", "delete", "big", "--yes")
        wait_until(lambda: self.server.run("put", "kept", "after").returncode == 0,
                   "writes to resume after a delete")
        self.assertEqual(self.server.ok("consume", "kept"), b"before\nafter\n")
        self.server.kill9()
        self.server.start()
        self.assertEqual(self.server.ok("consume", "kept"), b"before\nafter\n")

    def test_below_the_watermark(self):
        # The journal's own files have to leave room above the watermark.
        self.serve(240 * MIB, "--set", f"limits.disk_free_bytes_min={32 * MIB}", "--set",
                   f"log.journal_bytes_max={64 * MIB}")
        self.fill_then_free()

    def test_certificates(self):
        subprocess.run(mount_command(self.mount, 16 << 10), check=True)
        self.addCleanup(subprocess.run, ["umount", self.mount], check=True)
        directory = os.path.join(self.mount, "certs")
        os.mkdir(directory)
        with self.assertRaises(OSError), open(os.path.join(self.mount, "fill"), "wb") as file:
            file.write(bytes(64 << 10))
        done = walrus("cert", "ca", directory)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, rb"^walrus: cert ca [^\n]*No space left")
        self.assertEqual(os.listdir(directory), [])

    def test_no_space_at_all(self):
        self.serve(200 * MIB, "--set", "limits.disk_free_bytes_min=0")
        self.fill_then_free()


def mount_command(where, size):
    return ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", where]


def why_no_mount():
    """The reason why a small file system cannot be mounted here; none if it can."""
    with tempfile.TemporaryDirectory(prefix="walrus-full-") as where:
        done = subprocess.run(mount_command(where, MIB), capture_output=True, text=True)
        if done.returncode == 0:
            subprocess.run(["umount", where], check=True)
            return None
        return "no small file system: " + done.stderr.strip()


if __name__ == "__main__":
    if reason := why_no_mount():
        print(f"SKIP {reason}")
        sys.exit(77)
    main()
