#!/usr/bin/env python3
"""Encodes messages of the Kafka protocol with kafka-python's codec: kafka_python_codec.hex here.

usage: encode_kafka_python.py KEY:FIRST-LAST... > kafka_python_codec.hex

Needs kafka-python 3 (PyPI). Each message comes in two fillings: `full`, in which every field of the
version has a value of its own, every array two elements and every tagged field is there, and
`null`, in which what may be null is, and arrays are empty. One line each:
`key version request|response <hex of the body>`.
"""

import sys
import types
import uuid

import kafka.protocol.admin  # noqa: F401 (registers its messages)
import kafka.protocol.consumer  # noqa: F401
import kafka.protocol.metadata  # noqa: F401
import kafka.protocol.producer  # noqa: F401
import kafka.protocol.sasl  # noqa: F401
from kafka.protocol.api_message import ApiMessage


def messages():
    found, pending = {}, list(ApiMessage.__subclasses__())
    while pending:
        one = pending.pop()
        pending += one.__subclasses__()
        if getattr(one, "_struct", None) is not None and one._class_version is None:
            found[one.json["apiKey"], one.json["type"]] = one
    return found


class Filling:
    def __init__(self, full, version):
        self.full, self.version, self.count = full, version, 0

    def scalar(self, kind):
        self.count += 1
        if kind == "bool":
            return self.full
        if kind == "bitfield":  # the library's word for authorized operations
            return {1, 3} if self.full else None
        if kind.startswith("int"):
            return self.count % 120 + 1 if self.full else 0
        if kind == "uuid":
            return uuid.UUID(int=self.count if self.full else 0)
        if kind == "string":
            return f"text{self.count}" if self.full else ""
        return b"\x00\xff%d" % self.count if self.full else b""

    def value(self, field):
        nullable = field.nullable_for_version_q(self.version)
        if nullable and not self.full:
            return None
        if field.is_struct_array():
            return [self.struct(field) for _ in range(2)] if self.full else []
        if field.is_array():
            kind = field._json["type"].removeprefix("[]")
            return [self.scalar(kind) for _ in range(2)] if self.full else []
        if field.is_struct():
            return self.struct(field)
        return self.scalar(field._json["type"])

    def fields(self, fields):
        values = {}
        for field in fields:
            tagged = field._tag is not None
            if field.for_version_q(self.version) and (self.full or not tagged):
                values[field.name] = self.value(field)
        return values

    def struct(self, field):
        values = self.fields(field._fields)
        tags = {one.name for one in field._fields if one._tag is not None and one.name in values}
        return types.SimpleNamespace(tags=tags or None, unknown_tags=None, **values)


def main():
    known = messages()
    for argument in sys.argv[1:]:
        key, versions = argument.split(":")
        first, last = versions.split("-")
        for kind in ("request", "response"):
            one = known.get((int(key), kind))
            if one is None:
                print(f"no {kind} of API {key}", file=sys.stderr)
                continue
            for version in range(int(first), int(last) + 1):
                for full in (True, False):
                    values = Filling(full, version).fields(one._struct._fields)
                    body = one(version=version, **values).encode()
                    print(key, version, kind, bytes(body).hex())


if __name__ == "__main__":
    main()
