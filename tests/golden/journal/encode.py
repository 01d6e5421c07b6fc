#!/usr/bin/env python3
"""Writes the *.hex files of tests/golden/journal and tests/golden/identity from the layout tables,
sharing no code with the engine. Golden files are never changed: run once for a new file."""

import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "segment"))

from encode import UUID, Fields, batch, crc32c, string, with_crc  # noqa: E402

BLOCK = 4096
NONCE = 4
TIME = 1_700_000_000_000
SIZE = 32 * 1024


def header():
    return with_crc(
        Fields()
        .add(b"WALRUSJ1", "file header: magic")
        .le("I", 1, "version")
        .le("I", 0, "CRC-32C")
        .add(UUID, "directory UUID")
        .le("Q", 1, "sequence")
        .le("Q", NONCE, "nonce")
        .le("Q", 0, "base lsn")
        .le("q", SIZE, "file size")
        .le("Q", 0, "sequence of the file before it: none")
        .le("Q", 0, "lsn at which the log leaves that")
        .le("Q", 3, "layout")
        .le("i", 1, "shard")
        .le("I", 0, "zero"))


def group(lsn, synced_to, before):
    rest = struct.pack("<QQQQ", NONCE, lsn, synced_to, before)
    magic = int.from_bytes(b"WGRP", "little")
    return (
        Fields()
        .add(b"WGRP", "group header: magic")
        .le("I", crc32c(rest, magic), "CRC-32C")
        .le("Q", NONCE, "nonce of the file")
        .le("Q", lsn, "lsn of this header")
        .le("Q", synced_to, "synced_to")
        .le("Q", before, "exact end of the frame before"))


def frame(lsn, kind, flags, stream, offset, epoch, payload, is_batch):
    head = struct.pack("<IQqiBBH", len(payload.bytes()), stream, offset, epoch, kind, flags, 0)
    covered = payload.bytes()[:21] if is_batch else payload.bytes()
    crc = crc32c(covered, crc32c(struct.pack("<Q", lsn) + head, crc32c(struct.pack("<Q", NONCE))))
    return (
        Fields()
        .le("I", crc, "frame: CRC-32C")
        .le("I", len(payload.bytes()), "payload length")
        .le("Q", stream, "stream id")
        .le("q", offset, "offset")
        .le("i", epoch, "epoch")
        .add(bytes([kind]), "type")
        .add(bytes([flags]), "flags")
        .le("H", 0, "zero")
        .extend(payload))


class Image:
    """A file: rows at positions, zeros between them."""

    def __init__(self):
        self.lines, self.at = [], 0

    def zeros(self, to):
        if to > self.at:
            self.lines.append(f"*{to - self.at}")
            self.at = to
        return self

    def put(self, fields):
        for data, note in fields.rows:
            for begin in range(0, len(data), 24):
                piece = data[begin:begin + 24]
                comment = f"{self.at:>5} {note}" if begin == 0 else ""
                self.lines.append(f"{piece.hex():<48} # {comment}".rstrip())
                self.at += len(piece)
        return self


def journal():
    image = Image().put(header()).zeros(BLOCK).put(header()).zeros(2 * BLOCK)
    image.put(group(2 * BLOCK, 0, 0))
    image.put(frame(image.at, 1, 1, 17, 0, 0, batch(0, 0, TIME, [b"hello"]), True))
    state = Fields().add(string(b"billing"), "key")
    state.add(b"\1", "there is a value").add(b"7", "value")
    image.put(frame(image.at, 2, 2, 17, 0, 0, state, False))
    end = image.at
    image.zeros(3 * BLOCK)
    image.put(group(3 * BLOCK, end, end))  # the mark
    return image.zeros(SIZE)


def identity():
    return Image().put(with_crc(
        Fields()
        .add(b"WALRUSD1", "identity: magic")
        .le("I", 1, "version")
        .le("I", 0, "CRC-32C")
        .add(UUID, "directory UUID")
        .le("Q", 3, "layout")
        .le("i", 4, "shard count")
        .add(bytes(20), "zero")))


def write(name, title, image):
    path = HERE.parent / name
    path.parent.mkdir(exist_ok=True)
    if path.exists():
        print(f"{name}: left as it is")
        return
    path.write_text(f"# {title}\n" + "\n".join(image.lines) + "\n")


if __name__ == "__main__":
    title = "journal file: a batch and a state frame, then a mark"
    write("journal/two_groups.hex", title, journal())
    write("identity/walrus.hex", "identity file WALRUS", identity())
