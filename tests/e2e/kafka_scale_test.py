#!/usr/bin/env python3
"""Many topics, many clients: 10,000 partitions that are made, told, written, read and there again
after a restart; 5,000 connections that wait at the end of a log and are all woken; what 1,000 idle
partitions cost, and how soon a server acknowledges its first record."""

import resource
import selectors
import socket
import struct
import time

from walrus import DEADLINE, ServerTest, main

TOPICS, PARTITIONS = 10, 1000
CONNECTIONS = 5000
MIB = 1 << 20
# Bounds that a loaded machine keeps as well; what is really there is printed.
RSS_MIB_MAX, START_SECONDS_MAX = 100, 5


def crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


TABLE = crc32c_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


def batch(value):
    """A record batch of one record with a short value and no key."""
    body = b"\0\0\0\1" + bytes([2 * len(value)]) + value + b"\0"
    record = bytes([2 * len(body)]) + body
    now = int(time.time() * 1000)
    rest = struct.pack(">hiqqqhii", 0, 0, now, now, -1, -1, -1, 1) + record
    return struct.pack(">qiibI", 0, len(rest) + 9, 0, 2, crc32c(rest)) + rest


class Peer:
    """A connection of the Kafka protocol, one request at a time."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=DEADLINE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        self.socket.close()

    def send(self, key, version, body):
        frame = struct.pack(">hhih", key, version, 1, -1) + body
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)

    def receive(self):
        size, = struct.unpack(">i", self.exactly(4))
        return self.exactly(size)[4:]

    def exactly(self, size):
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                raise EOFError("the server has ended the connection")
            data += piece
        return data

    def ask(self, key, version, body):
        self.send(key, version, body)
        return self.receive()


def create_topic(peer, name, partitions):
    body = struct.pack(">i", 1) + text(name) + struct.pack(">ihii", partitions, 1, 0, 0)
    answer = peer.ask(19, 2, body + struct.pack(">i?", 60_000, False))
    error, = struct.unpack(">h", answer[8 + 2 + len(name):][:2])
    return error


def produce_to_all(peer, name, partitions):
    one = batch(b"v")
    parts = b"".join(struct.pack(">ii", p, len(one)) + one for p in range(partitions))
    body = struct.pack(">hhii", -1, -1, 30_000, 1) + text(name) + struct.pack(">i", partitions)
    answer = peer.ask(0, 3, body + parts)
    place = 4 + 2 + len(name) + 4
    return [struct.unpack_from(">ihqq", answer, place + 22 * i)[1:3] for i in range(partitions)]


def fetch_body(name, offsets, wait_ms):
    body = struct.pack(">iiiibi", -1, wait_ms, 1, 50 * MIB, 0, 1) + text(name)
    body += struct.pack(">i", len(offsets))
    return body + b"".join(struct.pack(">iqi", p, at, MIB) for p, at in offsets)


def high_watermarks(answer, name):
    """By partition, of a Fetch version 4 of one topic."""
    place = 4 + 4 + 2 + len(name)
    count, = struct.unpack_from(">i", answer, place)
    place += 4
    found = {}
    for _ in range(count):
        part, error, high, _, aborted = struct.unpack_from(">ihqqi", answer, place)
        place += 26 + 16 * max(aborted, 0)
        size, = struct.unpack_from(">i", answer, place)
        place += 4 + max(size, 0)
        found[part] = (error, high, size)
    return found


def count_partitions(peer):
    """Of all topics, by Metadata version 1."""
    answer = peer.ask(3, 1, struct.pack(">i", -1))
    place = 0

    def take(form):
        nonlocal place
        values = struct.unpack_from(">" + form, answer, place)
        place += struct.calcsize(">" + form)
        return values[0]

    def skip_text():
        nonlocal place
        size = take("h")
        place += max(size, 0)

    for _ in range(take("i")):
        take("i"), skip_text(), take("i"), skip_text()
    take("i")
    partitions = 0
    for _ in range(take("i")):
        assert take("h") == 0
        skip_text(), take("?")
        for _ in range(take("i")):
            assert take("h") == 0
            partitions += 1
            take("i"), take("i")
            for _ in range(2):
                for _ in range(take("i")):
                    take("i")
    return partitions


def rss_anon(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


class ManyPartitions(ServerTest):
    def check_all(self, peer):
        self.assertEqual(count_partitions(peer), TOPICS * PARTITIONS)
        for topic in range(TOPICS):
            offsets = [(p, 0) for p in range(PARTITIONS)]
            answer = peer.ask(1, 4, fetch_body(f"t{topic}", offsets, 0))
            found = high_watermarks(answer, f"t{topic}")
            self.assertEqual(len(found), PARTITIONS)
            for error, high, size in found.values():
                self.assertEqual((error, high), (0, 1))
                self.assertGreater(size, 61)

    def test_10000_partitions_are_there_before_and_after_a_restart(self):
        took = {}

        def timed(what, call):
            begin = time.monotonic()
            call()
            took[what] = time.monotonic() - begin

        peer = Peer(self.server.kafka)
        timed("create", lambda: [self.assertEqual(create_topic(peer, f"t{t}", PARTITIONS), 0)
                                 for t in range(TOPICS)])
        timed("produce", lambda: [self.assertEqual(
            set(produce_to_all(peer, f"t{t}", PARTITIONS)), {(0, 0)}) for t in range(TOPICS)])
        timed("read", lambda: self.check_all(peer))
        peer.close()
        before = rss_anon(self.server)
        timed("stop", self.server.stop)
        timed("start", self.server.start)
        peer = Peer(self.server.kafka)
        timed("read again", lambda: self.check_all(peer))
        timed("delete", lambda: self.server.ok("topic", "delete", "t0"))
        self.assertEqual(count_partitions(peer), (TOPICS - 1) * PARTITIONS)
        peer.close()
        print(f"{TOPICS * PARTITIONS} partitions:",
              ", ".join(f"{what} {seconds:.2f} s" for what, seconds in took.items()),
              f"RssAnon {before:.0f} MiB, after a restart {rss_anon(self.server):.0f} MiB")
        self.assertLess(max(took.values()), 30)


class Idle(ServerTest):
    def test_1000_idle_partitions_cost_little_and_a_start_is_quick(self):
        peer = Peer(self.server.kafka)
        self.assertEqual(create_topic(peer, "idle", 1000), 0)
        peer.close()
        self.server.stop()
        begin = time.monotonic()
        self.server.start()
        peer = Peer(self.server.kafka)
        self.assertEqual(produce_to_all(peer, "idle", 1), [(0, 0)])
        start = time.monotonic() - begin
        peer.close()
        rss = rss_anon(self.server)
        print(f"1,000 idle partitions: RssAnon {rss:.0f} MiB, "
              f"start to the first acknowledged produce {start * 1000:.0f} ms")
        self.assertLess(rss, RSS_MIB_MAX)
        self.assertLess(start, START_SECONDS_MAX)


class ManyConnections(ServerTest):
    def setUp(self):
        # The server inherits the limit; both sides of every connection count here.
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < CONNECTIONS + 500:
            self.skipTest(f"the limit on open files is {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        super().setUp()

    def test_5000_connections_wait_and_all_are_woken(self):
        peer = Peer(self.server.kafka)
        self.addCleanup(peer.close)
        self.assertEqual(create_topic(peer, "one", 1), 0)
        alone = rss_anon(self.server)
        begin = time.monotonic()
        peers = []
        for _ in range(CONNECTIONS - 1):
            one = Peer(self.server.kafka)
            self.addCleanup(one.close)
            self.assertEqual(one.ask(18, 0, b"")[:2], b"\0\0")
            one.send(1, 4, fetch_body("one", [(0, 0)], 60_000))
            peers.append(one)
        opened = time.monotonic() - begin
        waiting = rss_anon(self.server)
        begin = time.monotonic()
        self.assertEqual(produce_to_all(peer, "one", 1), [(0, 0)])
        for one in peers:
            (error, high, size), = high_watermarks(one.receive(), "one").values()
            self.assertEqual((error, high), (0, 1))
            self.assertGreater(size, 61)
        woken = time.monotonic() - begin
        print(f"{CONNECTIONS} connections: opened in {opened:.1f} s, all woken in {woken:.2f} s, "
              f"RssAnon {alone:.0f} MiB without, {waiting:.0f} MiB with them")
        self.assertLess((waiting - alone) * 1024 / CONNECTIONS, 64)


class SlowReaders(ServerTest):
    arguments = ("--set", "limits.memory_bytes_max=16777216")

    def test_who_does_not_read_takes_no_memory_from_the_others(self):
        self.server.ok("topic", "create", "big")
        peer = Peer(self.server.kafka)
        value = b"x" * 1000
        # 40 MiB to read.
        for _ in range(40):
            self.server.ok("produce", "big", "--batch-bytes", str(MIB // 2), input=b"".join(
                value + b"\n" for _ in range(1000)))
        alone = rss_anon(self.server)
        slow = [Peer(self.server.kafka) for _ in range(50)]
        for one in slow:
            self.addCleanup(one.close)
            one.send(1, 4, fetch_body("big", [(0, 0)], 1000).replace(
                struct.pack(">iqi", 0, 0, MIB), struct.pack(">iqi", 0, 0, 40 * MIB)))
        # Another one is served meanwhile.
        selector = selectors.DefaultSelector()
        for one in slow:
            selector.register(one.socket, selectors.EVENT_READ)
        ready = set()
        while len(ready) < len(slow):
            ready.update(key.fd for key, _ in selector.select(DEADLINE))
        answer = peer.ask(1, 4, fetch_body("big", [(0, 0)], 1000))
        (error, _, size), = high_watermarks(answer, "big").values()
        self.assertEqual(error, 0)
        self.assertGreater(size, 1000)
        held = rss_anon(self.server) - alone
        print(f"50 readers that do not read hold {held:.0f} MiB of 16")
        self.assertLess(held, 100)  # one batch of each goes in any case
        peer.close()


if __name__ == "__main__":
    main()
