#!/usr/bin/env python3
"""Writes the *.hex files of tests/golden/segment and tests/golden/manifest from the layout tables
of docs/log-format.md, sharing no code with the engine. Golden files are never changed: run once for
a new file."""

import pathlib
import struct

HERE = pathlib.Path(__file__).resolve().parent
UUID = b"0123456789abcdef"
NONE = -(2**63)


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


class Fields:
    """Bytes with a note for each field."""

    def __init__(self):
        self.rows = []

    def add(self, data, note):
        self.rows.append((data, note))
        return self

    def le(self, form, value, note):
        return self.add(struct.pack("<" + form, value), note)

    def be(self, form, value, note):
        return self.add(struct.pack(">" + form, value), note)

    def bytes(self):
        return b"".join(data for data, _ in self.rows)

    def extend(self, other):
        self.rows += other.rows
        return self

    def patch(self, note, data):
        for i, (old, named) in enumerate(self.rows):
            if named == note:
                assert len(old) == len(data)
                self.rows[i] = (data, note)


def uvarint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value):
    return uvarint((value << 1) ^ (value >> 63) if value < 0 else value << 1)


def string(data):
    return uvarint(len(data)) + data


def with_crc(fields, before=b""):
    data = fields.bytes()
    crc = crc32c(data[16:], crc32c(data[:12], crc32c(before)))
    fields.patch("CRC-32C", struct.pack("<I", crc))
    return fields


def file_header(magic, stream, base, number, shard):
    return with_crc(
        Fields()
        .add(magic, "magic")
        .le("I", 1, "version")
        .le("I", 0, "CRC-32C")
        .add(UUID, "directory UUID")
        .le("Q", stream, "stream id")
        .le("q", base, "base offset")
        .le("Q", number, "number")
        .le("I", shard, "shard")
        .le("I", 0, "zero")
    )


def batch(base, epoch, time, values):
    """Values without keys; record i has the timestamp time + i."""
    body = b""
    for i, value in enumerate(values):
        record = b"\0" + zigzag(i) + zigzag(i) + zigzag(-1) + zigzag(len(value)) + value + zigzag(0)
        body += zigzag(len(record)) + record
    covered = (
        struct.pack(">hiqqqhii", 0, len(values) - 1, time, time + len(values) - 1, -1, -1, -1,
                    len(values)) + body
    )
    name = f"batch at offset {base}: "
    return (
        Fields()
        .be("q", base, name + "base offset")
        .be("i", 9 + len(covered), "  length")
        .be("i", epoch, "  epoch")
        .add(b"\2", "  magic")
        .be("I", crc32c(covered), "  CRC-32C of what follows")
        .add(covered[:40], "  attributes to record count")
        .add(body, "  records")
    )


def footer(end, entries, next_offset, records, oldest, newest):
    index = Fields()
    for offset, position, before in entries:
        index.le("q", offset, "index entry: offset").le("q", position, "  position")
        index.le("q", before, "  largest timestamp before it")
    tail = (
        Fields()
        .add(b"WALRUSF1", "footer: magic")
        .le("I", 1, "version")
        .le("I", 0, "CRC-32C")
        .le("q", end, "position of the index")
        .le("q", len(entries), "index entries")
        .le("q", next_offset, "end offset")
        .le("q", records, "records")
        .le("q", oldest, "smallest base timestamp")
        .le("q", newest, "largest timestamp")
    )
    return index.extend(with_crc(tail, index.bytes()))


def sealed(in_pieces):
    """Stream 17 from offset 1000 on: three batches, an index entry for each 128 bytes. Written by
    one checkpoint, or the third batch, index and footer by a second one."""
    parts = [
        batch(1000, 2, 1_700_000_000_000, [b"hello", b"walrus"]),
        batch(1002, 2, 1_700_000_000_005, [b"x" * 60]),
        batch(1003, 2, 1_700_000_000_003, [b"late"]),
    ]
    whole = file_header(b"WALRUSS1", 17, 1000, 0, 3)
    positions = []
    for part in parts:
        if in_pieces and part is parts[-1]:
            whole.add(bytes(-len(whole.bytes()) % 4096), "padding")
        positions.append(len(whole.bytes()))
        whole.extend(part)
    end = len(whole.bytes())
    entries = [(1000, 64, NONE)]
    newest = [1_700_000_000_001, 1_700_000_000_005]
    for at, before, offset in zip(positions[1:], newest, [1002, 1003]):
        if at - entries[-1][1] >= 128:
            entries.append((offset, at, before))
    return whole.extend(footer(end, entries, 1004, 4, 1_700_000_000_000, 1_700_000_000_005))


def pack():
    """Two streams in one pack."""
    whole = file_header(b"WALRUSP1", 0, 0, 1, 3)
    whole.extend(batch(0, 0, 1_700_000_000_000, [b"a"]))
    return whole.extend(batch(5, 1, 1_700_000_000_000, [b"b", b"c"]))


def manifest():
    body = Fields()
    body.add(uvarint(44) + uvarint(123_456_789) + uvarint(13), "journal sequence, LSN; next file")
    body.add(uvarint(2), "files")
    body.add(string(b"11/17-1000.seg"), "file 0: name")
    body.add(uvarint(17) + zigzag(1000) + uvarint(5000) + b"\1",
             "  stream, base offset, synced end, sealed")
    body.add(string(b"pack/0-12.pack"), "file 1: name")
    body.add(uvarint(0) + zigzag(0) + uvarint(900_000) + b"\0",
             "  stream, base offset, synced end, not sealed")
    body.add(uvarint(2), "streams")
    body.add(uvarint(17), "stream id")
    body.add(zigzag(1001) + zigzag(1600), "  log start, next offset")
    body.add(zigzag(2), "  epoch")
    body.add(zigzag(1500) + zigzag(100) + zigzag(7000) + zigzag(1_700_000_000_000),
             "  open segment: base, records, bytes, started")
    body.add(zigzag(77) + zigzag(1_700_000_000_500), "  reclaimed bytes, max timestamp")
    body.add(uvarint(2), "  extents")
    body.add(uvarint(0) + uvarint(64) + uvarint(4000), "    file, position, bytes")
    body.add(zigzag(1000) + uvarint(500) + uvarint(400), "    base offset, offsets, records")
    body.add(zigzag(1000) + zigzag(1), "    segment base, epoch")
    body.add(zigzag(-1) + zigzag(1_700_000_000_000), "    timestamps")
    body.add(uvarint(1) + uvarint(800_000) + uvarint(100_000), "    file, position, bytes")
    body.add(uvarint(100) + uvarint(100), "    offsets, records")
    body.add(zigzag(1500) + zigzag(2), "    segment base, epoch")
    body.add(zigzag(5) + zigzag(6), "    timestamps")
    body.add(uvarint(1), "  producers")
    body.add(zigzag(5) + zigzag(0) + zigzag(1_700_000_000_500), "    id, epoch, last timestamp")
    body.add(uvarint(1) + uvarint(0) + uvarint(9) + zigzag(1590),
             "    batches: first and last sequence, first offset")
    body.add(uvarint(18), "stream id")
    body.add(zigzag(0) * 8 + zigzag(-1), "  a stream without data")
    body.add(uvarint(0) + uvarint(0), "  extents, producers")
    body.add(uvarint(1), "state entries")
    body.add(b"\1" + uvarint(17) + string(b"name") + string(b"orders"), "table, stream, key, value")
    head = (
        Fields()
        .add(b"WALRUSM1", "magic")
        .le("I", 1, "version")
        .le("I", 0, "CRC-32C")
        .le("Q", len(body.bytes()), "length of the body")
        .le("Q", 6, "generation")
        .add(UUID, "directory UUID")
        .le("Q", 3, "layout")
        .le("i", 1, "shard")
        .le("i", 4, "shards")
    )
    return with_crc(head.extend(body))


def write(path, title, fields):
    lines, position = [f"# {title}"], 0
    for data, note in fields.rows:
        if len(data) > 256 and not any(data):
            lines.append(f"*{len(data):<47} # {position:4} {note}")
            position += len(data)
            continue
        for at in range(0, max(len(data), 1), 24):
            piece = data[at : at + 24].hex()
            mark = f"# {position + at:4} {note}" if at == 0 else "#"
            lines.append(f"{piece:<48} {mark}".rstrip())
        position += len(data)
    if path.exists():
        print(f"{path.name}: left as it is")
        return
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    write(HERE / "sealed.hex", "sealed segment file 11/17-1000.seg", sealed(False))
    write(HERE / "pieces.hex", "the same, written by two checkpoints", sealed(True))
    write(HERE / "pack.hex", "pack file pack/3-1.pack", pack())
    write(HERE.parent / "manifest" / "two_streams.hex", "manifest-3.0", manifest())
