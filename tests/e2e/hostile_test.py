#!/usr/bin/env python3
"""Input that no client of ours sends: each kind has its documented answer, costs bounded memory,
and is not noticed by others, who are served meanwhile."""

import os
import random
import socket
import struct
import threading
import unittest

from limits_test import memory_kib, raise_descriptor_limit
from walrus import Native, ServerTest, main, wait_until

MIB = 1 << 20
DRAIN_MAX = 64 * MIB
FRAME_MAX = MIB
raise_descriptor_limit(4_000)


class Hostile(ServerTest):
    def setUp(self):
        super().setUp()
        self.assertEqual(self.ask("REGISTER t"), b"OK")
        self.served = 0
        self.worst = ""

    def ask(self, request):
        with Native(self.server.addr) as native:
            return native.ask(request)

    def served_meanwhile(self, hostile):
        """Runs `hostile`; another client appends and reads all the time and gets its answers."""
        done = threading.Event()

        def serve():
            with Native(self.server.addr) as native:
                while not done.is_set():
                    reply = native.ask("APPEND t meanwhile")
                    if not reply.startswith(b"OK "):
                        self.worst = repr(reply)
                        return
                    self.served += 1

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            wait_until(lambda: self.served > 0 or self.worst, "the other client")
            hostile()
            before = self.served
            wait_until(lambda: self.served > before or self.worst, "the other client, after it all")
        finally:
            done.set()
            thread.join()
        self.assertEqual(self.worst, "")

    def grown(self, act, limit_kib):
        """The memory that the server has more after `act`, while what it made still stands."""
        before = memory_kib(self.server.process.pid)
        act()
        more = memory_kib(self.server.process.pid) - before
        print(f"{self.id()}: {more} KiB more", flush=True)
        self.assertLess(more, limit_kib)

    def drops(self, native):
        """The server ends the connection; what it said before that."""
        said = b""
        try:
            while piece := native.socket.recv(65536):
                said += piece
        except ConnectionError:
            pass
        return said


class Frames(Hostile):
    def test_oversize_bodies_are_drained_without_being_kept(self):
        natives = [Native(self.server.addr) for _ in range(4)]
        piece = b"x" * (256 << 10)

        def send():
            for native in natives:
                native.send_raw(struct.pack("<I", DRAIN_MAX))
            for _ in range(DRAIN_MAX // len(piece)):
                for native in natives:
                    native.send_raw(piece)
            for native in natives:
                self.assertEqual(native.receive(), b"ERR invalid frame length")
                self.assertEqual(native.ask("STATE nope"), b"ERR unknown topic nope")

        self.served_meanwhile(lambda: self.grown(send, 32 * 1024))
        for native in natives:
            native.close()

    def test_claimed_lengths_take_no_memory(self):
        natives = []

        def claim():
            for _ in range(2_000):
                native = Native(self.server.addr)
                native.send_raw(struct.pack("<I", FRAME_MAX) + b"PUT t begun")
                natives.append(native)
            # The last one has arrived when a request that came after it is answered.
            self.assertEqual(self.ask("STATE nope"), b"ERR unknown topic nope")

        # 2 GB are claimed.
        self.served_meanwhile(lambda: self.grown(claim, 100 * 1024))
        for native in natives:
            native.close()
        self.assertEqual(self.ask("REGISTER t"), b"OK")

    def test_a_put_cut_at_every_byte_stores_nothing(self):
        frame = Native.frame(b"PUT t cut")
        for size in range(1, len(frame)):
            for half_closed in (True, False):
                native = Native(self.server.addr)
                native.send_raw(frame[:size])
                if half_closed:
                    native.socket.shutdown(socket.SHUT_WR)
                    self.assertEqual(self.drops(native), b"", size)
                native.close()
        self.assertEqual(self.ask("GET t"), b"EMPTY")

    def test_a_zero_frame_between_valid_ones_is_answered_in_its_place(self):
        with Native(self.server.addr) as native:
            for _ in range(1_000):
                native.send("STATE nope")
                native.send_raw(b"\0\0\0\0")
            for _ in range(1_000):
                self.assertEqual(native.receive(), b"ERR unknown topic nope")
                self.assertEqual(native.receive(), b"ERR invalid frame length")

    def test_half_closed_with_requests_under_way_gets_every_answer(self):
        with Native(self.server.addr) as native:
            for i in range(1_000):
                native.send(f"APPEND t {i}")
            native.socket.shutdown(socket.SHUT_WR)
            self.assertEqual([native.receive() for _ in range(1_000)],
                             [b"OK %d" % i for i in range(1_000)])
            self.assertEqual(self.drops(native), b"")


class Texts(Hostile):
    def test_bad_utf_8_is_refused_wherever_text_is_due(self):
        with Native(self.server.addr) as native:
            for bad in (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82"):
                for request in (bad, b"PU" + bad + b" t x", b"REGISTER " + bad,
                                b"PUT " + bad + b" x", b"GET " + bad, b"STATE t" + bad,
                                b"APPEND " + bad + b" x", b"APPENDAT t " + bad + b" x",
                                b"READ t " + bad, b"READ t 0 " + bad, b"POLL t " + bad,
                                b"COMMIT t " + bad + b" 0", b"LIST " + bad, b"DELETE " + bad,
                                b"HELP " + bad, b"BATCH " + bad + b" x", b"CREATE t2 " + bad,
                                b"CONFIG t " + bad, b"FIND t " + bad):
                    reply = native.ask(request)
                    self.assertEqual(reply, b"ERR invalid utf-8", request)
                # And a payload is bytes.
                self.assertEqual(native.ask(b"PUT t " + bad), b"OK")
                self.assertEqual(native.ask("GET t"), b"OK " + bad)

    def test_unknown_commands_and_words_without_end(self):
        with Native(self.server.addr) as native:
            for request in ("NOTHING", "put t x", " PUT t x", "PUTT t x", "\0", "GET\tt",
                            "X" * 9_999, " " * 9_999, "GET" * 300_000):
                self.assertEqual(native.ask(request), b"ERR unknown command", request[:20])
            for request in ("GET " + "t" * 900_000, "STATE " + "/" * 1_000, "READ t" + " 1" * 1_000,
                            "REGISTER " + " " * 900_000 + "t", "LIST " + "x" * 900_000,
                            "CREATE n " + "a=b " * 100_000, "POLL t " + "c" * 900_000,
                            "COMMIT t c " + "9" * 10_000, "HELP " + "x" * 900_000):
                reply = native.ask(request)
                self.assertRegex(reply[:4], rb"^(ERR |\[\])", request[:20])
                self.assertLess(len(reply), 2 * FRAME_MAX)

    def test_batches_that_are_none(self):
        chance = random.Random(5)
        with Native(self.server.addr) as native:
            for size in (0, 1, 60, 61, 62, 200, 5_000, 900_000):
                reply = native.ask(b"BATCH t " + chance.randbytes(size))
                self.assertRegex(reply, rb"^ERR ", size)
            self.assertEqual(native.ask("GET t"), b"EMPTY")


class Many(Hostile):
    arguments = ("--set", f"limits.memory_bytes_max={64 * MIB}")

    def test_random_bytes_on_many_connections(self):
        seed = int(os.environ.get("WALRUS_SEED") or random.SystemRandom().randrange(2**32))
        print(f"seed {seed}: WALRUS_SEED={seed} python3 tests/e2e/hostile_test.py", flush=True)
        chance = random.Random(seed)
        words = [b"PUT", b"GET", b"t", b" ", b"READ", b"POLL", b"0", b"-1", b"COMMIT", b"BATCH",
                 b"\xff", b"\0", b"COMMIT t c 0", b"CREATE", b"a=b"]

        def frame():
            body = b"".join(chance.choice(words) for _ in range(chance.randrange(1, 8)))
            if body.startswith((b"DELETE", b"CONFIG")):
                body = b"X" + body
            return Native.frame(body)

        def attack():
            for _ in range(300):
                with Native(self.server.addr) as native:
                    kind = chance.randrange(3)
                    data = b"".join(frame() for _ in range(20))
                    if kind == 1:
                        data = chance.randbytes(2_000)
                    elif kind == 2:
                        data = bytearray(data)
                        for _ in range(5):
                            data[chance.randrange(len(data))] = chance.randrange(256)
                    try:
                        native.send_raw(bytes(data))
                        native.socket.shutdown(socket.SHUT_WR)
                    except OSError:
                        continue  # closed already: also an answer

        self.served_meanwhile(lambda: self.grown(attack, 64 * 1024))
        self.assertIsNone(self.server.process.poll())

    def test_readers_that_never_read_share_a_limit(self):
        with Native(self.server.addr) as native:
            for _ in range(20):
                native.ask(b"APPEND t " + b"x" * 900_000)
        lazy = []

        def ask():
            request = b"READ t 0 4000000"
            for _ in range(100):
                native = Native(self.server.addr)
                for _ in range(50):
                    native.send(request)
                lazy.append(native)

        # 100 connections, 50 replies of 4 MB each: 20 GB, if anyone took them.
        self.served_meanwhile(lambda: self.grown(ask, 160 * 1024))
        for native in lazy:
            native.close()
        self.assertEqual(self.ask("STATE nope"), b"ERR unknown topic nope")


if __name__ == "__main__":
    main()
