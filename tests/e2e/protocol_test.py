#!/usr/bin/env python3
"""The native protocol by hand, byte by byte: replies, error texts, framing, limits of a request."""

import json
import re
import socket
import struct
import threading
import unittest

from walrus import SOURCE, Native, ServerTest, main, wait_until


class Replies(ServerTest):
    def setUp(self):
        super().setUp()
        self.native = Native(self.server.addr)
        self.addCleanup(self.native.close)

    def expect(self, request, reply):
        self.assertEqual(self.native.ask(request), reply if isinstance(reply, bytes)
                         else reply.encode(), request)

    def test_upstream_commands(self):
        for request, reply in [
                ("REGISTER t", "OK"), ("REGISTER t", "OK"),
                ("PUT t hello", "OK"), ("PUT t two  words ", "OK"), ("PUT t ", "OK"),
                (b"PUT t \xff\x00\n", "OK"), ("GET t", "OK hello"), ("GET t", "OK two  words "),
                ("GET t", "OK "), ("GET t", b"OK \xff\x00\n"), ("GET t", "EMPTY")]:
            self.expect(request, reply)
        state = json.loads(self.native.ask("STATE t"))
        self.assertEqual(state["current_segment"], 1)
        self.assertEqual(state["leader_node"], 1)
        metrics = self.native.ask("METRICS")
        self.assertIn(b"\n", metrics)  # pretty-printed
        self.assertEqual(json.loads(metrics)["current_leader"], 1)

    def test_every_error_text(self):
        self.expect("REGISTER t", "OK")
        for request, text in [
                ("GARBAGE", "unknown command"), (" ", "unknown command"),
                ("register t", "unknown command"), ("REGISTER", "REGISTER requires a topic"),
                ("PUT", "PUT requires a topic"), ("PUT t", "PUT requires a payload"),
                ("GET", "GET requires a topic"), ("STATE", "STATE requires a topic"),
                ("PUT nope x", "unknown topic nope"), ("GET nope", "unknown topic nope"),
                ("STATE nope", "unknown topic nope"), (b"\xff\xfe", "invalid utf-8"),
                ("REGISTER a/b", "invalid topic name"), ("REGISTER .", "invalid topic name"),
                ("REGISTER " + "x" * 250, "invalid topic name"),
                ("GET t 5 6", "unexpected argument"),
                ("REGISTER t x", "unexpected argument"), ("STATE t x", "unexpected argument"),
                ("GET t soon", "invalid number soon"),
                ("READ t -1", "invalid number -1"), ("READ t 5", "offset out of range 0..0"),
                ("APPENDAT t 7 x", "expected offset 7, next is 0"),
                ("COMMIT t c 9", "unknown consumer c"), ("DELETE nope", "unknown topic nope"),
                ("READ t", "READ requires an offset"), ("POLL t", "POLL requires a consumer"),
                ("POLL t a/b", "invalid consumer name"), ("BATCH t", "BATCH requires a batch"),
                ("FIND t", "FIND requires a timestamp"), ("CREATE t", "topic exists t"),
                ("CREATE u compact=maybe", "invalid config: compact = maybe: expected true,"
                                           " false, compact, delete or both"),
                ("PUT t/1 x", "unknown topic t/1"), ("HELP NONSENSE", "unknown command")]:
            self.expect(request, "ERR " + text)
        self.expect("PUT t still usable", "OK")

    def test_extensions(self):
        self.expect("REGISTER t", "OK")
        self.expect("APPEND t one", "OK 0")
        self.expect("APPEND t", "ERR APPEND requires a payload")
        self.expect("APPENDAT t 1 two", "OK 1")
        self.expect("APPENDAT t 1 again", "ERR expected offset 1, next is 2")
        reply = self.native.ask("READ t 0")
        head, first, rest = reply.split(b"\n", 2)
        self.assertEqual(head, b"OK 2 2")
        self.assertRegex(first, rb"^0 \d{13} 3 one$")
        self.assertRegex(rest, rb"^1 \d{13} 3 two\n$")
        self.assertRegex(self.native.ask("POLL t c 1"), rb"^OK 1 1\n0 \d+ 3 one\n$")
        self.expect("COMMIT t c 1", "OK")
        self.assertRegex(self.native.ask("POLL t c"), rb"^OK 1 2\n1 \d+ 3 two\n$")
        self.assertRegex(self.native.ask("PRODUCER"), rb"^OK \d+ 0$")
        listed = json.loads(self.native.ask("LIST"))
        self.assertEqual([(x["name"], x["records"]) for x in listed], [("t", 2)])
        self.assertEqual(json.loads(self.native.ask("LIST x")), [])
        self.assertIn(b"PUT", self.native.ask("HELP"))
        self.expect("DELETE t", "OK")
        self.expect("GET t", "ERR unknown topic t")

    def test_a_waiting_read_answers_when_a_record_comes(self):
        self.expect("REGISTER t", "OK")
        with Native(self.server.addr) as reader:
            reader.send("READ t 0 1000 60000")
            self.expect("PUT t late", "OK")
            self.assertRegex(reader.receive(), rb"^OK 1 1\n0 \d+ 4 late\n$")

    def test_pipelined_requests_are_answered_in_order(self):
        self.expect("REGISTER t", "OK")
        for i in range(500):
            self.native.send(f"APPEND t {i}")
        for i in range(500):
            self.assertEqual(self.native.receive(), f"OK {i}".encode())


class SmallBatches(ServerTest):
    arguments = ("--set", "topic.batch_bytes_max=1024")

    def test_a_payload_above_the_batch_limit_is_refused(self):
        with Native(self.server.addr) as native:
            self.assertEqual(native.ask("REGISTER t"), b"OK")
            self.assertEqual(native.ask("PUT t " + "x" * 1025),
                             b"ERR too large: above batch_bytes_max")
            self.assertEqual(native.ask("GET t"), b"EMPTY")
            self.assertEqual(native.ask("PUT t " + "x" * 900), b"OK")


class Framing(ServerTest):
    def setUp(self):
        super().setUp()
        self.native = Native(self.server.addr)
        self.addCleanup(self.native.close)

    def test_a_zero_length_is_refused_and_the_connection_goes_on(self):
        self.native.send_raw(b"\0\0\0\0")
        self.assertEqual(self.native.receive(), b"ERR invalid frame length")
        self.assertEqual(self.native.ask("REGISTER t"), b"OK")

    def test_an_oversize_frame_is_drained_and_the_next_one_is_valid(self):
        self.native.send_raw(struct.pack("<I", (1 << 20) + 1) + b"x" * ((1 << 20) + 1))
        self.native.send("REGISTER t")
        self.assertEqual(self.native.receive(), b"ERR invalid frame length")
        self.assertEqual(self.native.receive(), b"OK")

    def test_the_largest_frame_is_stored(self):
        self.assertEqual(self.native.ask("REGISTER t"), b"OK")
        payload = b"y" * ((1 << 20) - len(b"PUT t "))
        self.assertEqual(self.native.ask(b"PUT t " + payload), b"OK")
        self.assertEqual(self.native.ask("GET t"), b"OK " + payload)

    def test_a_frame_beyond_the_drain_limit_closes_the_connection(self):
        self.native.send_raw(struct.pack("<I", (64 << 20) + 1))
        self.assertEqual(self.native.receive(), b"ERR invalid frame length")
        with self.assertRaises((EOFError, ConnectionError)):
            self.native.receive()

    def test_a_frame_in_single_bytes(self):
        body = b"REGISTER t"
        for byte in struct.pack("<I", len(body)) + body:
            self.native.send_raw(bytes([byte]))
        self.assertEqual(self.native.receive(), b"OK")

    def test_a_truncated_frame_changes_nothing(self):
        self.assertEqual(self.native.ask("REGISTER t"), b"OK")
        with Native(self.server.addr) as other:
            other.send_raw(struct.pack("<I", 100) + b"PUT t cut short")
            other.socket.shutdown(socket.SHUT_WR)
            with self.assertRaises((EOFError, ConnectionError)):
                other.receive()
        self.assertEqual(self.native.ask("GET t"), b"EMPTY")

    def test_a_half_closed_connection_gets_its_answers(self):
        with Native(self.server.addr) as other:
            other.send("REGISTER t")
            other.send("PUT t x")
            other.send("GET t")
            other.socket.shutdown(socket.SHUT_WR)
            self.assertEqual([other.receive() for _ in range(3)], [b"OK", b"OK", b"OK x"])
            with self.assertRaises(EOFError):
                other.receive()

    def test_another_protocol_is_answered_and_does_no_harm(self):
        with Native(self.server.addr) as other:
            other.send_raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            other.socket.recv(1000)
        self.assertEqual(self.native.ask("REGISTER t"), b"OK")


class Queue(ServerTest):
    def test_concurrent_gets_return_each_record_once(self):
        with Native(self.server.addr) as native:
            self.assertEqual(native.ask("REGISTER t"), b"OK")
            for i in range(2000):
                native.send(f"PUT t {i}")
            for _ in range(2000):
                self.assertEqual(native.receive(), b"OK")
        taken = [[] for _ in range(4)]

        def take(mine):
            with Native(self.server.addr) as native:
                while (reply := native.ask("GET t")) != b"EMPTY":
                    mine.append(int(reply[3:]))

        threads = [threading.Thread(target=take, args=(mine,)) for mine in taken]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sorted(sum(taken, [])), list(range(2000)))

    def test_a_broken_connection_returns_what_was_not_sent(self):
        payload = "x" * 60_000
        with Native(self.server.addr) as native:
            self.assertEqual(native.ask("REGISTER t"), b"OK")
            for i in range(300):
                native.send(f"PUT t {i:03} {payload}")
            for _ in range(300):
                self.assertEqual(native.receive(), b"OK")
        # 18 MB of replies do not fit into the sockets: most of them are never handed over.
        reader = Native(self.server.addr)
        for _ in range(300):
            reader.send("GET t")
        got = reader.receive()
        self.assertTrue(got.startswith(b"OK 000 "))
        reader.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        reader.close()
        # Until the server has noticed, the records are the reader's, and a GET takes the next ones.
        wait_until(lambda: self.server.metrics()["walrus_native_connections"] == 0,
                   "the server to notice the broken connection")
        with Native(self.server.addr) as native:
            rest = []

            def drained():
                reply = native.ask("GET t 100")
                if reply != b"EMPTY":
                    rest.append(int(reply[3:6]))
                return rest and rest[-1] == 299 and native.ask("GET t") == b"EMPTY"

            wait_until(drained, "the last record")
        self.assertEqual(rest, list(range(rest[0], 300)), "in order, without a gap")
        self.assertGreater(len(rest), 100)


class WorkedBytes(unittest.TestCase):
    def test_the_page_shows_whole_frames(self):
        page = (SOURCE / "docs/native-protocol.md").read_text()
        block = re.search(r"## Worked bytes\n\n```\n(.*?)```", page, re.S)[1]
        frames = []
        for line in block.splitlines():
            shown, text = line[:18].rstrip(), line[18:].split("    ")[0] if line[18] != " " else ""
            if text:
                length, first = bytes.fromhex(text[:11]), bytes.fromhex(text[11:])
                frames.append([shown, *struct.unpack("<I", length), first])
            else:
                frames[-1][2] += bytes.fromhex(line[31:].split("    ")[0])
        self.assertGreater(len(frames), 12)
        for shown, length, body in frames:
            self.assertEqual(length, len(body), body)
            self.assertTrue(body.decode().startswith(shown.replace("\u2423", " ")), body)


if __name__ == "__main__":
    main()
