#!/usr/bin/env python3
"""GET across kill -9: drained to EMPTY nothing comes again; before EMPTY nothing is skipped."""

import unittest

from walrus import Native, ServerTest, main


class Drain(ServerTest):
    def fill(self, count):
        self.server.ok("topic", "create", "t")
        self.server.ok("produce", "t", input=b"".join(b"%d\n" % i for i in range(count)))

    def take(self, count):
        with Native(self.server.addr) as native:
            for _ in range(count):
                native.send("GET t")
            return [native.receive() for _ in range(count)]

    def test_after_empty_nothing_is_delivered_again(self):
        self.fill(1000)
        replies = self.take(1001)
        self.assertEqual(replies, [b"OK %d" % i for i in range(1000)] + [b"EMPTY"])
        for _ in range(3):
            self.server.kill9()
            self.server.start()
            self.assertEqual(self.take(1), [b"EMPTY"])
        self.server.ok("put", "t", "new")
        self.assertEqual(self.take(2), [b"OK new", b"EMPTY"])

    def journal_syncs(self):
        metrics = self.server.metrics()
        return metrics["walrus_log_syncs_total"], metrics["walrus_log_sync_bytes_total"]

    def test_empty_again_costs_no_io(self):
        self.fill(10)
        self.take(11)
        syncs, written = self.journal_syncs()
        self.assertEqual(self.take(2_000), [b"EMPTY"] * 2_000)
        syncs_then, written_then = self.journal_syncs()
        # The mark that follows the last sync, and maybe a checkpoint; nothing for each answer.
        self.assertLessEqual(syncs_then - syncs, 3)
        self.assertLessEqual(written_then - written, 3 * 4096)
        self.server.kill9()
        self.server.start()
        self.assertEqual(self.take(1), [b"EMPTY"])

    def test_before_empty_replies_may_repeat_and_none_is_skipped(self):
        self.fill(1000)
        taken = self.take(600)
        self.assertEqual(taken, [b"OK %d" % i for i in range(600)])
        self.server.kill9()
        self.server.start()
        rest = []
        while (reply := self.take(1)[0]) != b"EMPTY":
            rest.append(int(reply[3:]))
        self.assertLessEqual(rest[0], 600)
        self.assertEqual(rest, list(range(rest[0], 1000)))

    def test_a_graceful_stop_repeats_nothing(self):
        self.fill(100)
        self.take(40)
        self.assertEqual(self.server.stop(), 0)
        self.server.start()
        self.assertEqual(self.take(1), [b"OK 40"])


if __name__ == "__main__":
    main()
