"""What the crash tests put into a server and look for afterwards: numbered, summed records.

A stream of records is a topic. What record n of a stream holds follows from both numbers, so that
whatever is found can be told from what should be there.
"""

import random
import re
import selectors
import struct
import threading
import zlib

from walrus import Native

STREAMS = 8
IN_FLIGHT = 8  # unanswered appends of a stream
VALUE_MAX = 6_000
FILLER = random.Random(1).randbytes(VALUE_MAX + 1_000)


class Failure(Exception):
    pass


def topic(stream):
    return f"stream{stream}"


def value_of(stream, offset):
    mixed = (offset + 1) * 0x9E3779B1 + stream
    start, size = mixed % 1_000, mixed // 1_000 % VALUE_MAX
    text = b"%d/%d/" % (stream, offset) + FILLER[start:start + size]
    return text + struct.pack("<I", zlib.crc32(text))


class Load:
    """Appends to all streams, each from its own connection, until the server goes away."""

    def __init__(self, addr, ends):
        self.issued = list(ends)  # as ends: one more than the last offset
        self.acknowledged = list(ends)
        self.failure = None
        self.connections = [Native(addr) for _ in range(STREAMS)]
        self.received = [b""] * STREAMS
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def join(self):
        self.thread.join()
        for connection in self.connections:
            connection.close()
        if self.failure:
            raise Failure(self.failure)

    def run(self):
        with selectors.DefaultSelector() as selector:
            for stream, connection in enumerate(self.connections):
                selector.register(connection.socket, selectors.EVENT_READ, stream)
                self.proceed(stream, selector)
            while selector.get_map():
                for key, _ in selector.select():
                    self.proceed(key.data, selector, reads=True)

    def proceed(self, stream, selector, reads=False):
        connection = self.connections[stream]
        try:
            if reads:
                self.take_replies(stream, connection.socket.recv(65536))
            while self.issued[stream] - self.acknowledged[stream] < IN_FLIGHT:
                connection.send(b"APPEND %s %s" % (topic(stream).encode(),
                                                   value_of(stream, self.issued[stream])))
                self.issued[stream] += 1
        except (ConnectionError, EOFError):  # the crash
            selector.unregister(connection.socket)
        except Failure as failure:
            self.failure = self.failure or str(failure)
            selector.unregister(connection.socket)

    def take_replies(self, stream, data):
        if not data:
            raise EOFError
        data = self.received[stream] + data
        while len(data) >= 4 and len(data) >= 4 + (size := struct.unpack_from("<I", data)[0]):
            reply, data = data[4:4 + size], data[4 + size:]
            if reply == b"ERR storage failed":  # the power is off, and the server has noticed
                raise EOFError
            if reply != b"OK %d" % self.acknowledged[stream]:
                raise Failure(f"{topic(stream)}: {reply!r} instead of offset"
                              f" {self.acknowledged[stream]}")
            self.acknowledged[stream] += 1
        self.received[stream] = data


def bounds(native, stream):
    """(first offset, end) of a stream."""
    reply = native.ask(f"READ {topic(stream)} {2**63 - 2}")
    found = re.fullmatch(rb"ERR offset out of range (\d+)\.\.(\d+)", reply)
    if not found:
        raise Failure(f"{topic(stream)}: {reply!r}")
    return int(found.group(1)), int(found.group(2))


def read_all(native, stream, start, end):
    """Reads [start, end) and compares each record with what it must be. Retention, which goes on
    meanwhile, may take records from the front; the end stays."""
    while start < end:
        reply = native.ask(f"READ {topic(stream)} {start} 1000000")
        trimmed = re.fullmatch(rb"ERR offset out of range (\d+)\.\.(\d+)", reply)
        if trimmed and start < int(trimmed.group(1)) <= end == int(trimmed.group(2)):
            start = int(trimmed.group(1))
            continue
        head, _, rest = reply.partition(b"\n")
        found = re.fullmatch(rb"OK (\d+) (\d+)", head)
        if not found or int(found.group(1)) == 0:
            raise Failure(f"{topic(stream)}: at {start} of {end}: {head!r}")
        for _ in range(int(found.group(1))):
            offset, _, size, rest = rest.split(b" ", 3)
            value, rest = rest[:int(size)], rest[int(size) + 1:]
            if int(offset) != start or value != value_of(stream, start):
                raise Failure(f"{topic(stream)}: offset {int(offset)} instead of {start}, or other"
                              " bytes")
            start += 1
