#!/usr/bin/env python3
"""A proxy that records what a Kafka client says: the golden requests of this folder.

usage: record.py LISTEN_PORT BROKER_PORT FILE

Forwards each connection to 127.0.0.1:BROKER_PORT, which advertises LISTEN_PORT, and appends one
line for each request of an API and version that FILE does not have yet:
`key version request <hex of the frame>`, the frame without its length. Runs until it is ended.
"""

import pathlib
import select
import socket
import struct
import sys


def frames(pending):
    """Whole frames at the front of `pending`, and the rest."""
    whole = []
    while len(pending) >= 4:
        size = struct.unpack(">i", pending[:4])[0]
        if len(pending) < 4 + size:
            break
        whole.append(pending[4:4 + size])
        pending = pending[4 + size:]
    return whole, pending


class Recording:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.seen = {tuple(line.split()[:2]) for line in lines if not line.startswith("#")}

    def take(self, frame):
        key, version = struct.unpack(">hh", frame[:4])
        if (str(key), str(version)) in self.seen or len(frame) > 4096:
            return
        self.seen.add((str(key), str(version)))
        with self.path.open("a") as file:
            file.write(f"{key} {version} request {frame.hex()}\n")


def main():
    listen_port, broker_port, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    recording = Recording(path)
    listener = socket.create_server(("127.0.0.1", listen_port))
    print("ready", flush=True)
    peer, pending = {}, {}
    while True:
        for ready in select.select([listener, *peer], [], [])[0]:
            if ready is listener:
                client = listener.accept()[0]
                broker = socket.create_connection(("127.0.0.1", broker_port))
                peer[client], peer[broker], pending[client] = broker, client, b""
                continue
            if ready not in peer:
                continue
            try:
                got = ready.recv(1 << 16)
            except ConnectionError:
                got = b""
            other = peer[ready]
            if not got:
                for one in (ready, other):
                    del peer[one]
                    pending.pop(one, None)
                    one.close()
                continue
            other.sendall(got)
            if ready in pending:
                whole, pending[ready] = frames(pending[ready] + got)
                for frame in whole:
                    recording.take(frame)


if __name__ == "__main__":
    main()
