"""What clients saw: the log of acknowledgements that `walrus_bench_kafka watch` writes
(bench/kafka/watch.h), and what is read from it. Times are nanoseconds of CLOCK_MONOTONIC."""

import dataclasses
import math
import struct

ENTRY = struct.Struct("=qqqii")  # due, at, offset, partition, error


class Acks:
    """The log of one client, read while it is written."""

    def __init__(self, path):
        self.file = open(path, "rb")
        self.rest = b""

    def close(self):
        self.file.close()

    def read(self):
        """What came since the last call: (due, at, offset, partition, error) in the order of
        acknowledgement."""
        data = self.rest + self.file.read()
        whole = len(data) - len(data) % ENTRY.size
        self.rest = data[whole:]
        return list(ENTRY.iter_unpack(memoryview(data)[:whole]))


@dataclasses.dataclass
class Outages:
    """The longest time without an acknowledgement of each partition, from the last one before it
    to the first one after it. Only times that end after `begin` count."""
    begin: int
    last: dict  # of each partition, before: when it acknowledged
    longest: dict = dataclasses.field(default_factory=dict)
    served: dict = dataclasses.field(default_factory=dict)  # due, of the newest acknowledged
    errors: int = 0

    def add(self, entries):
        for due, at, _, partition, error in entries:
            if error:
                self.errors += 1
                continue
            before = self.last.get(partition)
            self.last[partition] = at
            if before is not None and at > self.begin:
                self.longest[partition] = max(self.longest.get(partition, 0), at - before)
            if due > self.served.get(partition, 0):
                self.served[partition] = due

    def over(self, partitions, since):
        """Whether each of the partitions has acknowledged a record that was due after `since`."""
        return all(self.served.get(partition, 0) > since for partition in partitions)

    def of(self, partitions):
        return [self.longest.get(partition, 0) for partition in partitions]


def latencies(entries, begin, end, partitions=None):
    """From when a record was due to its acknowledgement, of those due in that time."""
    return [at - due for due, at, _, partition, error in entries
            if begin <= due < end and not error
            and (partitions is None or partition in partitions)]


def longest_latency(entries, begin, end):
    """Of each partition, among the records due in that time."""
    found = {}
    for due, at, _, partition, error in entries:
        if begin <= due < end and not error:
            found[partition] = max(found.get(partition, 0), at - due)
    return found


def errors(entries):
    return sum(1 for entry in entries if entry[4])


def percentile(values, percent):
    """The smallest of the values that so many percent of them do not exceed."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    rank = math.ceil(round(percent / 100 * len(ordered), 9))
    return ordered[max(rank, 1) - 1]


def percentiles(values):
    """As a row tells them: in microseconds."""
    return {name: percentile(values, percent) / 1e3
            for name, percent in (("p50", 50), ("p90", 90), ("p99", 99), ("p99.9", 99.9))}
