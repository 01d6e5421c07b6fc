"""One connection that speaks raw requests, encoded and decoded by kafka-python's own schemas."""

import socket
import struct
import uuid

import kafka.protocol.admin
import kafka.protocol.consumer
import kafka.protocol.metadata
import kafka.protocol.producer
import kafka.protocol.sasl

SECONDS = 30
MODULES = (kafka.protocol.admin, kafka.protocol.consumer, kafka.protocol.metadata,
           kafka.protocol.producer, kafka.protocol.sasl)
CLOSED = "connection closed"
# What cannot be the same on two servers, or says it in words.
VOLATILE = {"throttle_time_ms", "error_message", "host", "port", "topic_id", "cluster_id",
            "producer_id", "member_id", "leader", "client_host", "usable_bytes", "total_bytes",
            "partition_size", "log_dir", "rack", "log_append_time_ms", "batch_index_error_message",
            "authorized_operations", "cluster_authorized_operations",
            "topic_authorized_operations", "documentation", "broker_id", "controller_id",
            "node_endpoints", "supported_features", "finalized_features",
            "finalized_features_epoch", "offset_lag"}


def message(name):
    for module in MODULES:
        if hasattr(module, name):
            return getattr(module, name)
    raise LookupError(name)


def fill(cls, fields, version):
    """A message or struct of dictionaries and lists."""
    values = {}
    for name, value in fields.items():
        field = cls._struct.fields[name]
        if (field.is_struct() or field.is_struct_array()) and value is not None:
            inner = field.data_class
            value = [fill(inner, one, version) for one in value] \
                if field.is_struct_array() else fill(inner, value, version)
        values[name] = value
    return cls(version=version, **values)


def plain(value):
    """Without what is volatile; bytes as their length."""
    if isinstance(value, dict):
        kept = {k: plain(v) for k, v in value.items() if k not in VOLATILE}
        if kept.get("error_code"):
            kept.pop("log_start_offset", None)  # means nothing beside an error
        if "session_id" in kept:
            kept["session_id"] = "some" if kept["session_id"] else "none"
        if "aborted_transactions" in kept:
            kept["aborted_transactions"] = kept["aborted_transactions"] or []
        return kept
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, (bytes, memoryview)):
        return f"{len(value)} bytes"
    if isinstance(value, uuid.UUID):
        return str(value)
    return value


class Raw:
    def __init__(self, address):
        self.address = address
        self.socket = None
        self.correlation = 0

    def connect(self):
        if self.socket is None:
            host, port = self.address.rsplit(":", 1)
            self.socket = socket.create_connection((host, int(port)), SECONDS)

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def send(self, name, version, fields):
        self.connect()
        request = fill(message(f"{name}Request"), fields, version)
        self.correlation += 1
        request.with_header(correlation_id=self.correlation, client_id="raw")
        self.socket.sendall(bytes(request.encode(version=version, header=True, framed=True)))

    def send_frame(self, body):
        self.connect()
        self.socket.sendall(struct.pack(">i", len(body)) + body)

    def receive(self):
        """The next frame; None: the connection is closed."""
        def exactly(size):
            data = b""
            while len(data) < size:
                piece = self.socket.recv(size - len(data))
                if not piece:
                    raise EOFError
                data += piece
            return data
        try:
            return exactly(struct.unpack(">i", exactly(4))[0])
        except (EOFError, ConnectionError):
            self.close()
            return None

    def ask(self, name, version, **fields):
        """The whole answer as dictionaries, or CLOSED."""
        self.send(name, version, fields)
        frame = self.receive()
        if frame is None:
            return CLOSED
        answer = message(f"{name}Response").decode(frame, version=version, header=True)
        return answer.to_dict(json=False)
