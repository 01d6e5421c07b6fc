"""Record batches of format 2 by hand, also such as no client would send."""

import struct
import time


def crc32c_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


TABLE = crc32c_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def varint(value):
    value = value << 1 ^ value >> 63
    out = bytearray()
    while value & ~0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def blob(data):
    return varint(-1) if data is None else varint(len(data)) + data


def record(place, key=None, value=b"value", timestamp_delta=0, offset_delta=None):
    delta = place if offset_delta is None else offset_delta
    body = b"\0" + varint(timestamp_delta) + varint(delta) + blob(key) + blob(value) + varint(0)
    return varint(len(body)) + body


def batch(count=1, *, records=None, attributes=0, timestamp=None, max_timestamp=None,
          producer_id=-1, producer_epoch=-1, sequence=-1, magic=2, crc=None,
          last_offset_delta=None, told_count=None, length=None, base_offset=0, value=b"value",
          key=None):
    """The bytes of one batch; everything that is told can be a lie."""
    stamp = int(time.time() * 1000) if timestamp is None else timestamp
    told = count if told_count is None else told_count
    body = struct.pack(
        ">hiqqqhii", attributes,
        count - 1 if last_offset_delta is None else last_offset_delta, stamp,
        stamp if max_timestamp is None else max_timestamp, producer_id, producer_epoch, sequence,
        told)
    body += records if records is not None else b"".join(
        record(place, key=key, value=value) for place in range(count))
    summed = crc32c(body) if crc is None else crc
    rest = struct.pack(">ibI", -1, magic, summed) + body
    return struct.pack(">qi", base_offset, len(rest) if length is None else length) + rest
