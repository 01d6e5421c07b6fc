#!/usr/bin/env python3
"""The simple protocol in twenty lines: each message is a u32 length (little endian), then bytes."""
import socket
import struct
import sys

host, port = (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:9091").rsplit(":", 1)
connection = socket.create_connection((host, int(port)))
stream = connection.makefile("rwb")


def call(request: bytes) -> bytes:
    stream.write(struct.pack("<I", len(request)) + request)
    stream.flush()
    return stream.read(struct.unpack("<I", stream.read(4))[0])


print(call(b"REGISTER greetings").decode())
print(call(b"PUT greetings hello from Python").decode())
print(call(b"GET greetings").decode())
