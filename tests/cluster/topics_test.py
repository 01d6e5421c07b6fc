#!/usr/bin/env python3
"""Acceptance A7: a hundred topics at once, written for a minute at all three nodes, each read back
in order, while they are written and afterwards."""

import os
import threading
import time

from nodes import ClusterTest, main
from walrus import Native

TOPICS = 100
SECONDS = float(os.environ.get("WALRUS_SECONDS") or 60)
ROUND_SECONDS = 1.0  # in which every topic gets one record
RECORDS_MAX = 20  # of a segment: so each topic rolls, too


class Topics(ClusterTest):
    def setUp(self):
        super().setUp()
        self.names = [f"t{number}" for number in range(TOPICS)]
        for number, name in enumerate(self.names):
            self.cluster[1 + number % 3].ok("topic", "create", name, "--set",
                                            f"segment_records_max={RECORDS_MAX}")
        self.written = dict.fromkeys(self.names, 0)  # acknowledged
        self.failures = []

    def thread(self, work, *arguments):
        def run():
            try:
                work(*arguments)
            except Exception as failure:
                self.failures.append(failure)
        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def write(self, node, names, stop):
        """A record of each topic, all under way at once, then the next round."""
        with Native(self.cluster[node].addr) as connection:
            due = time.monotonic()
            while not stop.wait(max(0.0, due - time.monotonic())):
                due += ROUND_SECONDS
                for name in names:
                    connection.send(f"APPEND {name} {name} {self.written[name]}")
                for name in names:
                    reply, wanted = connection.receive(), f"OK {self.written[name]}".encode()
                    assert reply == wanted, (name, reply, wanted)
                    self.written[name] += 1

    def read(self, node, names, stop):
        """What is acknowledged is there at once, at another node, in its place."""
        with Native(self.cluster[node].addr) as connection:
            while not stop.is_set():
                for name in names:
                    if stop.wait(ROUND_SECONDS / len(names)):
                        return
                    count = self.written[name]
                    start = max(0, count - 3)
                    there = self.values(connection, name, start)
                    assert there >= count - start, (name, start, there, count)

    def values(self, connection, name, start):
        """How many records there are from an offset on, each the one that belongs there. A reply
        ends where a segment does."""
        count = 0
        while True:
            request = f"READ {name} {start + count} 1000000"
            head, _, lines = connection.ask(request).partition(b"\n")
            assert head.startswith(b"OK "), (request, head)
            read = [(int(line.split()[0]), line.split(b" ", 3)[3]) for line in lines.splitlines()]
            expected = [(at, b"%s %d" % (name.encode(), at))
                        for at in range(start + count, start + count + len(read))]
            assert read == expected, (name, read, expected)
            if not read:
                return count
            count += len(read)

    def test_a7_a_hundred_topics_for_a_minute_each_in_order(self):
        stop, threads = threading.Event(), []
        for node in (1, 2, 3):
            threads.append(self.thread(self.write, node, self.names[node - 1::3], stop))
            threads.append(self.thread(self.read, node, self.names[node % 3::3], stop))
        stop.wait(SECONDS)
        stop.set()
        for thread in threads:
            thread.join(120)
        self.assertEqual(self.failures, [])
        for node in (1, 2, 3):
            with Native(self.cluster[node].addr) as connection:
                for name in self.names:
                    self.assertEqual(self.values(connection, name, 0), self.written[name])
        total = sum(self.written.values())
        self.assertGreaterEqual(total, TOPICS * SECONDS / ROUND_SECONDS / 2)
        print(f"{total} records in {TOPICS} topics", flush=True)


if __name__ == "__main__":
    main()
