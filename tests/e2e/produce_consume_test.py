#!/usr/bin/env python3
"""produce and consume: exact bytes, formats, positions, groups, restarts."""

import json
import os
import re
import struct
import subprocess
import time
import unittest

from walrus import BINARY, ServerTest, environment, main, read_line, wait_until


def frames(*payloads):
    return b"".join(struct.pack("<I", len(p)) + p for p in payloads)


class Bytes(ServerTest):
    def setUp(self):
        super().setUp()
        self.server.ok("topic", "create", "t")

    def produced(self, done):
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stderr.decode().splitlines()[-1]

    def test_lines_come_out_as_they_went_in(self):
        data = b"one\n\n two \r\nthr\x00ee\xff\n" * 1000
        summary = self.produced(self.server.run("produce", "t", input=data))
        self.assertEqual(summary, f"produced 4000 records {len(data) - 4000} bytes offsets 0..3999"
                                  " retries 0")
        self.assertEqual(self.server.ok("consume", "t"), data)
        self.assertEqual(self.server.ok("consume", "t", "--format", "%s\\n"), data)

    def test_a_missing_final_newline_is_no_matter(self):
        self.produced(self.server.run("produce", "t", input=b"a\nb"))
        self.produced(self.server.run("produce", "t", input=b"c\n"))
        self.assertEqual(self.server.ok("consume", "t"), b"a\nb\nc\n")

    def test_no_input_is_no_record(self):
        self.assertEqual(self.produced(self.server.run("produce", "t", input=b"")),
                         "produced 0 records 0 bytes offsets none retries 0")

    def test_files_follow_each_other(self):
        for name, text in (("a", b"1\n2"), ("b", b"3\n")):
            with open(self.path(name), "wb") as file:
                file.write(text)
        self.produced(self.server.run("produce", "t", self.path("a"), "-", self.path("b"),
                                      input=b"from stdin\n"))
        self.assertEqual(self.server.ok("consume", "t"), b"1\n2\nfrom stdin\n3\n")
        line = self.fails(1, "produce", "t", self.path("missing"))
        self.assertRegex(line, r"^walrus: produce t: .*missing.*No such file")

    def test_length_prefixed_payloads_are_exact(self):
        payloads = [b"", b"a\nb\n", bytes(range(256)), b"x" * 100_000]
        self.produced(self.server.run("produce", "t", "--length-prefixed",
                                      input=frames(*payloads)))
        self.assertEqual(self.server.ok("consume", "t", "--length-prefixed"), frames(*payloads))
        line = self.fails(1, "produce", "t", "--length-prefixed", input=frames(b"x") + b"\x05\0\0")
        self.assertIn("ends inside a length-prefixed record", line)

    def test_delimiters(self):
        self.produced(self.server.run("produce", "t", "--delimiter", "\\0", input=b"a\nb\0c\0"))
        self.assertEqual(self.server.ok("consume", "t", "--format", "<%s>"), b"<a\nb><c>")
        self.produced(self.server.run("produce", "t", "--delimiter", "--", input=b"x-y--z"))
        self.assertEqual(self.server.ok("consume", "t", "--from", "2", "--format", "<%s>"),
                         b"<x-y><z>")

    def test_keys_and_headers(self):
        self.produced(self.server.run("produce", "t", "--key-separator", ":", "--header", "h=1",
                                      "--header", "i=", input=b"k:v\nplain\na:b:c\n"))
        self.produced(self.server.run("produce", "t", "--key", "fixed", input=b"v\n"))
        self.assertEqual(self.server.ok("consume", "t", "--format", "%o|%k|%s|%h|%t|%p%%\\n"),
                         b"0|k|v|h=1,i=|t|0%\n1||plain|h=1,i=|t|0%\n2|a|b:c|h=1,i=|t|0%\n"
                         b"3|fixed|v||t|0%\n")
        documents = [json.loads(line) for line in self.server.ok("consume", "t", "--json")
                     .splitlines()]
        self.assertEqual([d["key"] for d in documents], ["k", None, "a", "fixed"])
        self.assertEqual(documents[0]["headers"], [{"name": "h", "value": "1"},
                                                   {"name": "i", "value": ""}])
        self.assertEqual(list(documents[0]), ["topic", "partition", "offset", "timestamp_ms",
                                              "key", "value", "headers"])

    def test_bytes_that_are_no_text_are_base64_in_json(self):
        self.produced(self.server.run("produce", "t", input=b"\xff\xfe\n"))
        self.assertEqual(json.loads(self.server.ok("consume", "t", "--json"))["value"],
                         {"base64": "//4="})

    def test_compressed_batches(self):
        data = b"the same line again\n" * 2000
        for codec in ("gzip", "snappy", "lz4", "zstd"):
            self.produced(self.server.run("produce", "t", "--compression", codec, input=data))
        self.assertEqual(self.server.ok("consume", "t"), data * 4)

    def test_json_summary(self):
        done = self.server.run("produce", "t", "--json", input=b"a\nbc\n")
        document = json.loads(done.stdout)
        self.assertEqual({k: document[k] for k in ("topic", "records", "bytes", "first_offset",
                                                   "last_offset", "retries")},
                         {"topic": "t", "records": 2, "bytes": 3, "first_offset": 0,
                          "last_offset": 1, "retries": 0})
        self.assertEqual(done.stderr, b"")

    def test_a_record_above_the_frame_limit_is_refused(self):
        line = self.fails(1, "produce", "t", input=b"x" * (2 << 20))
        self.assertIn("invalid frame length", line)
        self.assertEqual(self.server.ok("consume", "t"), b"")

    def test_a_slow_pipe_is_not_held_back(self):
        producer = subprocess.Popen([BINARY, "produce", "t", "--addr", self.server.addr],
                                    stdin=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                    env=environment())
        producer.stdin.write(b"now\n")
        producer.stdin.flush()
        wait_until(lambda: self.server.high_watermark("t") == 1,
                   "the record, before the input ends")
        producer.stdin.close()
        self.assertEqual(producer.wait(60), 0)

    def test_rate(self):
        begun = time.monotonic()
        self.produced(self.server.run("produce", "t", "--rate", "200/s", input=b"x\n" * 200))
        self.assertGreater(time.monotonic() - begun, 0.8)


class Positions(ServerTest):
    def setUp(self):
        super().setUp()
        self.server.ok("topic", "create", "t")
        self.server.ok("produce", "t", input=b"".join(b"%d\n" % i for i in range(100)))

    def consumed(self, *arguments):
        return [int(line) for line in self.server.ok("consume", "t", *arguments).split()]

    def test_from(self):
        self.assertEqual(self.consumed(), list(range(100)))
        self.assertEqual(self.consumed("--from", "earliest", "--count", "3"), [0, 1, 2])
        self.assertEqual(self.consumed("--from", "97"), [97, 98, 99])
        self.assertEqual(self.consumed("--from", "100"), [])
        self.assertEqual(self.consumed("--from", "-2"), [98, 99])
        self.assertEqual(self.consumed("--from", "-1000"), list(range(100)))
        self.assertEqual(self.consumed("--from", "latest"), [])
        self.assertEqual(self.consumed("--count", "0"), [])
        self.assertIn("offset out of range 0..100", self.fails(1, "consume", "t", "--from", "101"))

    def test_from_a_time(self):
        middle = wait_until(lambda: int(time.time() * 1000), "a clock") + 5
        wait_until(lambda: time.time() * 1000 > middle + 5, "time")
        self.server.ok("produce", "t", input=b"100\n101\n")
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(middle / 1000))
        self.assertEqual(self.consumed("--from", f"{text}.{middle % 1000:03d}Z"), [100, 101])
        self.assertEqual(self.consumed("--from", "1999-01-01T00:00:00Z", "--count", "1"), [0])
        self.assertEqual(self.consumed("--from", "2999-01-01T00:00:00+01:00"), [])

    def test_a_group_goes_on_where_it_was(self):
        self.assertEqual(self.consumed("--group", "g", "--count", "10"), list(range(10)))
        self.assertEqual(self.consumed("--group", "g", "--count", "5"), list(range(10, 15)))
        self.assertEqual(self.consumed("--group", "other", "--count", "1"), [0])
        self.server.kill9()
        self.server.start()
        self.assertEqual(self.consumed("--group", "g"), list(range(15, 100)))
        self.assertEqual(self.consumed("--group", "g"), [])
        self.server.ok("produce", "t", input=b"100\n")
        out = self.server.ok("consume", "t", "--group", "g", "--format", "%k%o:%s\\n")
        self.assertEqual(out, b"100:100\n")


class Partitions(ServerTest):
    def test_records_are_spread_and_all_come_out(self):
        self.server.ok("topic", "create", "t", "--partitions", "4")
        self.server.ok("produce", "t", "--batch-records", "10",
                       input=b"".join(b"%d\n" % i for i in range(1000)))
        out = self.server.ok("consume", "t", "--format", "%p %s\\n").split(b"\n")[:-1]
        seen = [tuple(map(int, line.split())) for line in out]
        self.assertEqual(sorted(value for _, value in seen), list(range(1000)))
        for partition in range(4):
            values = [value for p, value in seen if p == partition]
            self.assertGreater(len(values), 100)
            self.assertEqual(values, sorted(values))
            alone = self.server.ok("consume", "t", "--partition", str(partition)).split()
            self.assertEqual([int(v) for v in alone], values)
        self.assertIn("has 4 partitions", self.fails(1, "consume", "t", "--partition", "4"))

    def test_one_key_stays_in_one_partition(self):
        self.server.ok("topic", "create", "t", "--partitions", "4")
        self.server.ok("produce", "t", "--key-separator", "=",
                       input=b"".join(b"k%d=%d\n" % (i % 20, i) for i in range(1000)))
        places = {}
        for line in self.server.ok("consume", "t", "--format", "%k %p\\n").splitlines():
            key, partition = line.split()
            places.setdefault(key, set()).add(partition)
        self.assertEqual(len(places), 20)
        self.assertTrue(all(len(p) == 1 for p in places.values()), places)
        self.assertGreater(len(set().union(*places.values())), 1)

    def test_a_group_has_a_position_in_each(self):
        self.server.ok("topic", "create", "t", "--partitions", "3")
        self.server.ok("produce", "t", "--batch-records", "5",
                       input=b"".join(b"%d\n" % i for i in range(100)))
        first = self.server.ok("consume", "t", "--group", "g", "--count", "40").split()
        rest = self.server.ok("consume", "t", "--group", "g").split()
        self.assertEqual(len(first), 40)
        self.assertEqual(sorted(int(v) for v in first + rest), list(range(100)))

    def test_a_partition_can_be_named(self):
        self.server.ok("topic", "create", "t", "--partitions", "3")
        self.server.ok("produce", "t/1", input=b"a\nb\n")
        self.server.ok("put", "t/1", "c")
        self.assertEqual(self.server.ok("consume", "t", "--partition", "1"), b"a\nb\nc\n")
        self.assertEqual(self.server.ok("consume", "t", "--partition", "0"), b"")
        self.assertIn("partition", self.fails(1, "produce", "t/7", input=b"x\n"))


class Restarts(ServerTest):
    def test_a_follower_goes_on_over_restarts_of_the_server(self):
        for group in ([], ["--group", "g"]):
            with self.subTest(group=group):
                topic = "g" if group else "t"
                self.server.ok("topic", "create", topic)
                follower = subprocess.Popen(
                    [BINARY, "consume", topic, "--follow", "--count", "90", "--addr",
                     self.server.addr, *group],
                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment())
                try:
                    for part in range(3):
                        self.server.ok("produce", topic, input=b"".join(
                            b"%d\n" % i for i in range(part * 30, part * 30 + 30)))
                        for i in range(part * 30, part * 30 + 30):
                            self.assertEqual(read_line(follower.stdout, 60), str(i))
                        if part < 2:
                            self.server.kill9()
                            self.server.start()
                    self.assertEqual(follower.wait(60), 0)
                    self.assertEqual(follower.stdout.read(), b"")
                finally:
                    if follower.poll() is None:
                        follower.kill()
                        follower.wait()
                    follower.stdout.close()

    def test_a_producer_gives_up_after_its_retry_time(self):
        self.server.ok("topic", "create", "t")
        producer = subprocess.Popen([BINARY, "produce", "t", "--retry-ms", "300", "--addr",
                                     self.server.addr], stdin=subprocess.PIPE,
                                    stderr=subprocess.PIPE, env=environment())
        producer.stdin.write(b"kept\n")
        producer.stdin.flush()
        wait_until(lambda: self.server.high_watermark("t") == 1, "the first record")
        self.server.kill9()
        producer.stdin.write(b"lost\n")
        _, errors = producer.communicate(timeout=60)
        self.assertEqual(producer.returncode, 1)
        self.assertRegex(errors.decode().splitlines()[-1],
                         r"^walrus: produce t: .*; acknowledged before: 1 records, offsets 0\.\.0$")


if __name__ == "__main__":
    main()
