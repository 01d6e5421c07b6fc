#!/usr/bin/env python3
"""Writes the *.hex files of this folder with kafka-python's encoder, so that our own encoder and
decoder are held against bytes that are not our own.

Needs: pip install kafka-python==3.0.12 python-snappy lz4 zstandard. Run once per new file; golden
bytes are added to, never changed, so an existing file is left alone.
"""
import pathlib
import struct
import zlib

from kafka.codec import snappy_encode
from kafka.record._crc32c import crc as crc32c
from kafka.record.default_records import DefaultRecordBatchBuilder

HERE = pathlib.Path(__file__).parent
T = 1_700_000_000_000

# (timestamp, key, value, headers)
ONE = [(T, None, b"hello", [])]
MIXED = [
    (T, None, b"first", []),
    (T + 1, b"k1", None, []),  # a tombstone
    (T - 5, b"", b"", []),  # older than the first; empty is not null
    (T + 70_000, b"k3", b"v3", [("h", b"1"), ("null", None), ("", b"")]),
]
SAMPLE = [(T + i, b"key-%d" % (i % 7), b"walrus " * (i % 13) + b"%d" % i, []) for i in range(100)]

HEADER = [
    (8, "base offset"), (4, "length"), (4, "leader epoch"), (1, "magic"), (4, "CRC-32C"),
    (2, "attributes"), (4, "last offset delta"), (8, "base timestamp"), (8, "max timestamp"),
    (8, "producer id"), (2, "producer epoch"), (4, "base sequence"), (4, "record count"),
]


def build(records, codec=0, producer=None):
    pid, epoch, sequence = producer or (-1, -1, -1)
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=codec, is_transactional=False, producer_id=pid,
        producer_epoch=epoch, base_sequence=sequence, batch_size=1 << 20)
    for i, (timestamp, key, value, headers) in enumerate(records):
        assert builder.append(i, timestamp=timestamp, key=key, value=value, headers=headers)
    return bytes(builder.build())


def with_body(plain, codec, body):
    """The batch `plain` with its records replaced by compressed ones."""
    summed = struct.pack("!h", codec) + plain[23:61] + body
    return (plain[:8] + struct.pack("!i", 49 + len(body)) + plain[12:17]
            + struct.pack("!I", crc32c(summed)) + summed)


def write(name, comment, batch):
    path = HERE / f"{name}.hex"
    if path.exists():
        return
    lines = [f"# {comment}"]
    at = 0
    for size, field in HEADER:
        lines.append(f"{batch[at:at + size].hex():<16}  # {at:>2} {field}")
        at += size
    lines.append("# records")
    lines += [batch[i:i + 32].hex() for i in range(at, len(batch), 32)]
    path.write_text("\n".join(lines) + "\n")


def main():
    plain = build(SAMPLE)
    body = plain[61:]
    half = len(body) // 2
    write("one_record", "one record: no key, value 'hello', no headers", build(ONE))
    write("mixed", "null key; tombstone; empty key and value; headers with null and empty values",
          build(MIXED))
    write("producer", "'hello' of producer 4711, epoch 3, sequence 42",
          build(ONE, producer=(4711, 3, 42)))
    write("sample", "100 records, uncompressed", plain)
    write("sample_gzip", "the same, gzip", build(SAMPLE, codec=1))
    members = b"".join(
        c.compress(part) + c.flush()
        for part in (body[:half], body[half:]) for c in [zlib.compressobj(9, 8, 31)])
    write("sample_gzip_members", "the same, gzip in two members", with_body(plain, 1, members))
    write("sample_snappy_xerial", "the same, snappy in blocks as Java's clients frame it",
          build(SAMPLE, codec=2))
    write("sample_snappy_raw", "the same, one raw snappy block as librdkafka writes it",
          with_body(plain, 2, snappy_encode(body, xerial_compatible=False)))
    blocks = snappy_encode(body, xerial_compatible=True, xerial_blocksize=1000)
    write("sample_snappy_blocks", "the same, snappy in many blocks", with_body(plain, 2, blocks))
    write("sample_lz4", "the same, lz4 frame", build(SAMPLE, codec=3))
    write("sample_zstd", "the same, zstd", build(SAMPLE, codec=4))


if __name__ == "__main__":
    main()
