"""The few requests of the Kafka protocol that a benchmark makes itself, without any library."""

import socket
import struct
import time

SECONDS = 120


def string(text):
    return struct.pack(">h", len(text)) + text.encode()


def ask(connection, key, version, body):
    """Sends one request; the bytes of its answer after the correlation id."""
    frame = struct.pack(">hhi", key, version, 1) + string("bench") + body
    connection.sendall(struct.pack(">i", len(frame)) + frame)
    size = struct.unpack(">i", exactly(connection, 4))[0]
    return exactly(connection, size)[4:]


def exactly(connection, size):
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ConnectionError("closed")
        data += piece
    return data


def connect(address, seconds=SECONDS):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), seconds)


def create_topic(address, name, partitions, settings):
    """CreateTopics version 4; returns when every partition has a leader that answers."""
    with connect(address) as connection:
        ask_for_topic(connection, name, partitions, 1, settings)
        wait_for_leaders(connection, name, partitions)


def ask_for_topic(connection, name, partitions, copies, settings):
    """CreateTopics version 4."""
    configs = b"".join(string(key) + string(str(value)) for key, value in settings.items())
    body = (struct.pack(">i", 1) + string(name) + struct.pack(">ih", partitions, copies)
            + struct.pack(">i", 0) + struct.pack(">i", len(settings)) + configs
            + struct.pack(">i?", 60_000, False))
    answer = ask(connection, 19, 4, body)
    error = struct.unpack_from(">h", answer, 8 + 2 + len(name))[0]
    if error:
        raise RuntimeError(f"topic {name}: error {error}")


def partitions(connection, name):
    """Metadata version 1 of one topic: of each partition the number of its leader, -1 where there
    is none for now, and how many replicas are in sync."""
    answer = ask(connection, 3, 1, struct.pack(">i", 1) + string(name))
    brokers, at = struct.unpack_from(">i", answer)[0], 4
    for _ in range(brokers):
        at = after_string(answer, at + 4) + 4
        at = after_string(answer, at)
    at = after_string(answer, at + 4 + 4 + 2) + 1  # the controller, one topic, its error
    found = {}
    count, at = struct.unpack_from(">i", answer, at)[0], at + 4
    for _ in range(count):
        _, partition, leader, replicas = struct.unpack_from(">hiii", answer, at)
        at += 14 + 4 * replicas
        in_sync = struct.unpack_from(">i", answer, at)[0]
        at += 4 + 4 * in_sync
        found[partition] = leader, in_sync
    return found


def after_string(data, at):
    return at + 2 + max(0, struct.unpack_from(">h", data, at)[0])


def wait_for_leaders(connection, name, partitions):
    """ListOffsets version 1 of the end of each partition, until none answers with an error."""
    asked = b"".join(struct.pack(">iq", index, -1) for index in range(partitions))
    body = (struct.pack(">ii", -1, 1) + string(name) + struct.pack(">i", partitions) + asked)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        answer = ask(connection, 2, 1, body)
        at = 4 + 2 + len(name) + 4
        errors = {struct.unpack_from(">h", answer, at + 22 * place + 4)[0]
                  for place in range(partitions)}
        if errors == {0}:
            return
        time.sleep(0.05)
    raise RuntimeError(f"topic {name}: partitions without a leader")


def first_acknowledgement(address, topic, batch):
    """Tries until a Produce (version 7, acks=all) of one batch is acknowledged."""
    body = (struct.pack(">hhi", -1, -1, 30_000) + struct.pack(">i", 1) + string(topic)
            + struct.pack(">iii", 1, 0, len(batch)) + batch)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            with connect(address, 5) as connection:
                answer = ask(connection, 0, 7, body)
            if struct.unpack_from(">h", answer, 4 + 2 + len(topic) + 4 + 4)[0] == 0:
                return
        except (OSError, struct.error):
            pass
        time.sleep(0.001)
    raise RuntimeError("no acknowledgement")
