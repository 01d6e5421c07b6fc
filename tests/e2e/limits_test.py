#!/usr/bin/env python3
"""Limits of a server: 10,000 connections, one too many, and a reader that never reads."""

import os
import resource
import socket
import struct
import threading
import time
import unittest

from walrus import Native, ServerTest, main, wait_until

CONNECTIONS = 10_000


def memory_kib(pid):
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    raise AssertionError("no VmRSS")


def raise_descriptor_limit(wanted):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted and os.geteuid() == 0:
        hard = wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


raise_descriptor_limit(CONNECTIONS + 2_000)  # inherited by the server


class Many(ServerTest):
    # One address may hold them all here: the test has no others.
    arguments = ("--set", f"native.connections_max={CONNECTIONS}", "--set",
                 f"limits.connections_per_address_max={CONNECTIONS}")

    def test_ten_thousand_connections(self):
        self.server.ok("topic", "create", "t")
        before = memory_kib(self.server.process.pid)
        connections = []
        try:
            for _ in range(CONNECTIONS - 1):
                connections.append(Native(self.server.addr))
            for connection in connections:
                connection.send("STATE t")
            for connection in connections:
                self.assertIn(b"current_segment", connection.receive())
            grown = memory_kib(self.server.process.pid) - before
            print(f"{len(connections)} connections: {grown} KiB more")
            self.assertLess(grown, 400 * 1024)
            begun = time.monotonic()
            self.assertEqual(connections[5000].ask("PUT t x"), b"OK")
            self.assertLess(time.monotonic() - begun, 10)
            extra = [Native(self.server.addr) for _ in range(2)]
            try:
                with self.assertRaises((EOFError, ConnectionError, AssertionError)):
                    for connection in extra:
                        reply = connection.ask("STATE t")
                        if reply == b"ERR too many connections":
                            raise EOFError
            finally:
                for connection in extra:
                    connection.close()
        finally:
            for connection in connections:
                connection.close()
        wait_until(lambda: self.server.run("get", "t").stdout == b"x\n", "room again")


class Reader(ServerTest):
    def test_a_reader_that_never_reads_costs_bounded_memory_and_hurts_nobody(self):
        self.server.ok("topic", "create", "t", "--durability", "os")
        self.server.ok("produce", "t", "--length-prefixed", input=b"".join(
            struct.pack("<I", 100_000) + b"x" * 100_000 for _ in range(50)))
        before = memory_kib(self.server.process.pid)
        lazy = Native(self.server.addr)
        try:
            lazy.socket.settimeout(5)
            frame = Native.frame("READ t 0 4000000")
            sent = 0
            try:
                while sent < 5_000:  # 20 GB of replies, if anyone took them
                    lazy.socket.sendall(frame * 100)
                    sent += 100
            except socket.timeout:
                pass
            with Native(self.server.addr) as other:
                for i in range(200):
                    self.assertRegex(other.ask(f"APPEND t {i}"), rb"^OK \d+$")
            grown = memory_kib(self.server.process.pid) - before
            print(f"{sent} or more requests unanswered: {grown} KiB more")
            self.assertLess(grown, 128 * 1024)
        finally:
            lazy.close()


if __name__ == "__main__":
    main()
