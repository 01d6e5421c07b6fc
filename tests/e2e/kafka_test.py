#!/usr/bin/env python3
"""Debian's kcat (librdkafka 2.0.2) against a server: produce, consume, list, query; and what a
connection of the Kafka port does with strangers."""

import json
import os
import select
import socket
import struct
import subprocess
import time

from walrus import DEADLINE, ServerTest, main


def kcat(server, *arguments, input=b"", timeout=DEADLINE):
    words = ["kcat", "-b", server.kafka, *(str(word) for word in arguments)]
    return subprocess.run(words, input=input, capture_output=True, timeout=timeout)


class Kcat(ServerTest):
    def kcat(self, *arguments, **options):
        done = kcat(self.server, *arguments, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def produce(self, topic, lines, *arguments):
        self.kcat("-P", "-t", topic, *arguments, input=("\n".join(lines) + "\n").encode())

    def consume(self, topic, *arguments):
        text = self.kcat("-C", "-t", topic, "-e", "-q", *arguments).decode()
        return text.splitlines()

    def test_what_goes_in_comes_out(self):
        lines = [f"line {i}" for i in range(1000)]
        self.produce("plain", lines)
        self.assertEqual(self.consume("plain", "-o", "beginning"), lines)
        self.assertEqual(self.consume("plain", "-o", "990"), lines[990:])
        self.assertEqual(self.consume("plain", "-o", "-5"), lines[-5:])

    def test_every_codec_and_acks(self):
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            lines = [f"{codec} {i}" for i in range(500)]
            self.produce(f"codec-{codec}", lines, "-z", codec)
            self.assertEqual(self.consume(f"codec-{codec}", "-o", "beginning"), lines)
        # The native face tells that the records lie as they came: compressed.
        for acks in ("0", "1", "-1"):
            topic = f"acks{acks}"
            self.server.ok("topic", "create", topic)
            self.produce(topic, ["a", "b"], "-X", f"acks={acks}")
            self.assertEqual(self.consume(topic, "-o", "beginning"), ["a", "b"])

    def test_an_idempotent_producer(self):
        lines = [str(i) for i in range(5000)]
        self.produce("once", lines, "-X", "enable.idempotence=true", "-X", "batch.num.messages=50")
        self.assertEqual(self.consume("once", "-o", "beginning"), lines)

    def test_keys_headers_and_partitions(self):
        self.server.ok("topic", "create", "wide", "--partitions", "4")
        keyed = [f"k{i}:v{i}" for i in range(200)]
        self.produce("wide", keyed, "-K", ":", "-H", "origin=test")
        got = self.consume("wide", "-o", "beginning", "-f", "%k:%s %h %p\\n")
        self.assertEqual(sorted(line.split()[0] for line in got), sorted(keyed))
        self.assertEqual({line.split()[1] for line in got}, {"origin=test"})
        self.assertGreater(len({line.split()[2] for line in got}), 1)

    def test_native_and_kafka_clients_see_the_same(self):
        self.server.ok("topic", "create", "both")
        self.server.ok("put", "both", "from native")
        self.produce("both", ["from kafka"])
        self.assertEqual(self.consume("both", "-o", "beginning"), ["from native", "from kafka"])
        self.assertEqual(self.server.ok("consume", "both").decode().splitlines(),
                         ["from native", "from kafka"])

    def test_list(self):
        self.server.ok("topic", "create", "listed", "--partitions", "3")
        told = json.loads(self.kcat("-L", "-J"))
        host, port = self.server.kafka.rsplit(":", 1)
        self.assertEqual(told["brokers"], [{"id": 1, "name": f"{host}:{port}"}])
        self.assertEqual(told["controllerid"], 1)
        topic = {one["topic"]: one for one in told["topics"]}["listed"]
        self.assertEqual([one["partition"] for one in topic["partitions"]], [0, 1, 2])
        for one in topic["partitions"]:
            self.assertEqual((one["leader"], one["replicas"], one["isrs"]),
                             (1, [{"id": 1}], [{"id": 1}]))

    def test_query_by_time(self):
        self.produce("timed", ["a", "b", "c"])
        stamps = [int(line) for line in
                  self.consume("timed", "-o", "beginning", "-f", "%T\\n")]
        text = self.kcat("-Q", "-t", f"timed:0:{stamps[0]}").decode()
        self.assertIn("timed [0] offset 0", text)
        text = self.kcat("-Q", "-t", f"timed:0:{stamps[-1] + 1000}").decode()
        self.assertRegex(text, r"timed \[0\] offset (-1|3)")

    def test_a_kill_takes_nothing_that_was_acknowledged(self):
        lines = [f"kept {i}" for i in range(2000)]
        self.produce("kept", lines)
        self.server.kill9()
        self.server.start()
        self.assertEqual(self.consume("kept", "-o", "beginning"), lines)

    def consume_as_group(self, group, topic, count):
        text = self.kcat("-G", group, "-q", "-c", count, "-X", "auto.offset.reset=earliest", topic)
        return text.decode().splitlines()

    def test_a_group_goes_on_where_it_committed(self):
        self.server.ok("topic", "create", "grouped", "--partitions", "2")
        lines = [f"k{i}:v{i}" for i in range(300)]
        for start in (0, 100, 200):
            self.produce("grouped", lines[start:start + 100], "-K", ":")
            got = self.consume_as_group("workers", "grouped", 100)
            self.assertEqual(sorted(got), sorted(f"v{i}" for i in range(start, start + 100)))
            if start == 100:
                self.server.kill9()
                self.server.start()

    def test_members_of_a_group_share_the_partitions(self):
        self.server.ok("topic", "create", "shared", "--partitions", "4")
        words = ["kcat", "-b", self.server.kafka, "-G", "sharers", "-q", "-u", "-f", "%p %s\\n",
                 "-X", "auto.offset.reset=earliest", "shared"]
        members = [subprocess.Popen(words, bufsize=0, stdout=subprocess.PIPE) for _ in range(2)]
        for member in members:
            self.addCleanup(member.wait)
            self.addCleanup(member.kill)
        seen = {}

        def read():
            for place, member in enumerate(members):
                while select.select([member.stdout], [], [], 0.1)[0]:
                    partition, number = member.stdout.readline().split()
                    self.assertNotIn((partition, number), seen)
                    seen[partition, number] = place

        for turn in range(200):
            for partition in range(4):
                self.produce("shared", [f"{turn}"], "-p", partition)
            read()
            owners = {place for (_, number), place in seen.items() if int(number) == turn}
            if len(owners) == 2:
                break
        self.assertEqual(len(owners), 2)
        # One of them may not have come to its second partition yet.
        deadline = time.monotonic() + DEADLINE
        while len(seen) < 4 * (turn + 1) and time.monotonic() < deadline:
            read()
        self.assertEqual(len(seen), 4 * (turn + 1))

    def test_a_topic_made_anew_shows_nothing_old(self):
        self.produce("again", ["old"])
        self.server.ok("topic", "delete", "again")
        self.produce("again", ["new"])
        self.assertEqual(self.consume("again", "-o", "beginning"), ["new"])

    def test_a_record_that_is_too_large_is_refused_by_name(self):
        big = self.path("big")
        with open(big, "wb") as file:
            file.write(os.urandom(1_500_000))
        done = kcat(self.server, "-P", "-t", "big", "-X", "message.max.bytes=10000000", big)
        self.assertIn(b"Message size too large", done.stderr)


class NoAutoCreation(ServerTest):
    arguments = ("--set", "kafka.auto_create_topics=false")

    def test_an_unknown_topic_stays_unknown(self):
        done = kcat(self.server, "-C", "-t", "absent", "-e")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(b"Unknown topic", done.stderr)
        self.assertEqual(self.server.ok("topic", "list", "--json").strip(), b"[]")


class Strangers(ServerTest):
    def connect(self):
        host, port = self.server.kafka.rsplit(":", 1)
        connection = socket.create_connection((host, int(port)), timeout=DEADLINE)
        self.addCleanup(connection.close)
        return connection

    def answer(self, sent):
        connection = self.connect()
        connection.sendall(sent)
        received = b""
        while piece := connection.recv(4096):
            received += piece
        return received

    def test_http_and_native_clients_are_told(self):
        self.assertIn(b"Kafka port", self.answer(b"GET / HTTP/1.1\r\n\r\n"))
        self.assertIn(b"ERR this is the Kafka port",
                      self.answer(struct.pack("<I", 4) + b"LIST"))

    def test_what_is_no_request_ends_the_connection(self):
        for sent in (struct.pack(">i", -1), struct.pack(">i", 200_000_000) + b"\0" * 8,
                     struct.pack(">ihhi", 8, 999, 0, 1),  # an unknown API
                     struct.pack(">ihhih", 10, 3, 99, 1, -1),  # a version that is not served
                     struct.pack(">ihhihi", 14, 3, 1, 1, -1, 2_000_000_000)):  # a count that lies
            self.assertEqual(self.answer(sent), b"", sent)
        self.assertIn("native", self.server.fields)

    def test_a_new_version_of_api_versions_is_answered_in_version_0(self):
        connection = self.connect()
        connection.sendall(struct.pack(">ihhih", 10, 18, 99, 7, -1))
        size = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))[0]
        correlation, error, count = struct.unpack(
            ">ihi", connection.recv(size, socket.MSG_WAITALL)[:10])
        self.assertEqual((correlation, error), (7, 35))
        self.assertEqual(size, 10 + 6 * count)


if __name__ == "__main__":
    main()
