#!/usr/bin/env python3
"""What `./dev bench cluster` reads from the acknowledgements of its clients."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench/cluster"))

import acks  # noqa: E402


def ack(due, at, partition=0, offset=0, error=0):
    return (due, at, offset, partition, error)


class Reading(unittest.TestCase):
    def test_a_log_is_read_while_it_is_written(self):
        entries = [ack(1, 2, 3, 4), ack(5, 6, 7, 8, -1)]
        whole = b"".join(acks.ENTRY.pack(*entry) for entry in entries)
        with tempfile.NamedTemporaryFile() as file:
            log = acks.Acks(file.name)
            found = []
            for cut in (0, 7, 33, 33, len(whole)):
                file.truncate(0)
                file.seek(0)
                file.write(whole[:cut])
                file.flush()
                found += log.read()
            log.close()
        self.assertEqual(found, entries)

    def test_an_outage_is_from_the_last_before_to_the_first_after(self):
        outages = acks.Outages(100, {0: 90, 1: 95})
        outages.add([ack(80, 99), ack(98, 160), ack(170, 171), ack(99, 120, 1)])
        self.assertEqual(outages.of([0, 1]), [61, 25])

    def test_what_ended_before_is_no_outage(self):
        outages = acks.Outages(100, {0: 10})
        outages.add([ack(20, 80), ack(110, 111)])
        self.assertEqual(outages.of([0]), [31])

    def test_it_is_over_when_all_have_served_something_new(self):
        outages = acks.Outages(100, {0: 90, 1: 90})
        outages.add([ack(120, 130), ack(90, 140, 1)])
        self.assertTrue(outages.over([0], 110))
        self.assertFalse(outages.over([0, 1], 110))
        outages.add([ack(119, 150, 1)])
        self.assertTrue(outages.over([0, 1], 110))

    def test_errors_are_counted_and_acknowledge_nothing(self):
        outages = acks.Outages(100, {0: 90})
        outages.add([ack(110, 120, error=-195), ack(111, 150)])
        self.assertEqual((outages.errors, outages.of([0])), (1, [60]))
        self.assertEqual(acks.errors([ack(1, 2), ack(1, 2, error=5)]), 1)

    def test_latencies_are_of_what_was_due_in_the_time(self):
        entries = [ack(9, 100), ack(10, 13), ack(19, 40, 1), ack(20, 21), ack(15, 16, error=1)]
        self.assertEqual(acks.latencies(entries, 10, 20), [3, 21])
        self.assertEqual(acks.latencies(entries, 10, 20, {1}), [21])
        self.assertEqual(acks.longest_latency([*entries, ack(11, 19)], 10, 20), {0: 8, 1: 21})

    def test_percentiles_are_values_that_were_there(self):
        values = list(range(1, 1001))
        self.assertEqual([acks.percentile(values, p) for p in (0, 50, 99, 99.9, 100)],
                         [1, 500, 990, 999, 1000])
        self.assertEqual(acks.percentile([7], 99.9), 7)
        with self.assertRaises(ValueError):
            acks.percentile([], 50)


if __name__ == "__main__":
    unittest.main()
