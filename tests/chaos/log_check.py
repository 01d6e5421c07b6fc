#!/usr/bin/env python3
"""Judges a history of a log (log_history.py): which of the known anomalies it shows.

usage: log_check.py HISTORY      prints them; exit status 1 if there are any

  inconsistent-offset    one offset holds two values
  duplicate              one value at two offsets: nothing here is sent twice but by idempotence
  lost-write             acknowledged, and what lies behind it was read, and it was not
  unseen                 acknowledged, and in none of the last reads
  aborted-read           read, and its sender was told that nothing was stored
  phantom                read, and nobody has sent it, or not so
  misplaced              read in another partition than it was sent to
  poll-skip              a reader was given an offset behind the next one
  nonmonotonic-poll      a reader was given an offset that it had passed
  nonmonotonic-send      of one sender the later record has the lower offset
  ack-rewind             acknowledged below what was acknowledged before it was asked for
  end-regress            the end lies below what was acknowledged, read or told before
  start-moved            records that nobody removed cannot be read
  replica-divergence     a node lacks in the end what another one has
  told-in-minority       acknowledged where no majority could have been
  never-taken            acknowledged, and no GET was given it
  taken-after-empty      a GET was given what had been there before an EMPTY
  taken-unsent           a GET was given what nobody has sent
  stale-commit           a group was told less than it had committed, by an answer, before
  commit-regress         a commit was taken that lies below one that was answered before it was made
  spurious-commit        a group was told an offset that nobody has committed
  processed-hole         below the last committed offset, and no member was given it

Compared are offsets and moments, by sorting; no search.
"""

import collections
import heapq
import pathlib
import sys

import log_history


class Anomalies(collections.defaultdict):
    """Name: what was seen of it."""

    def __init__(self):
        super().__init__(list)

    def lines(self, each=5):
        for name, seen in sorted(self.items()):
            for text in seen[:each]:
                yield f"{name}: {text}"
            if len(seen) > each:
                yield f"{name}: {len(seen) - each} more"


def check(operations, silences=()):
    """`silences`: (begun, ended, node or None, what): what was asked of that node, or of any, after
    `begun` could not be acknowledged before `ended`."""
    found = Anomalies()
    sent = {one.value: one for one in operations if one.f == "send"}
    parts = collections.defaultdict(list)
    for one in operations:
        if one.partition is not None:
            parts[one.topic, one.partition].append(one)
    for where, part in sorted(parts.items()):
        Partition(f"{where[0]}/{where[1]}", part, sent, found).check()
    for topic in sorted({one.topic for one in operations if one.f == "take"}):
        check_takes([one for one in operations if one.topic == topic], found)
    for begun, ended, node, what in silences:
        for one in sent.values():
            if one.outcome == "ok" and begun <= one.invoked and one.completed <= ended and (
                    node is None or one.node == node):
                found["told-in-minority"].append(f"{one.value}, during: {what}")
    return found


class Partition:
    def __init__(self, name, operations, sent, found):
        self.name, self.sent, self.found = name, sent, found
        of = collections.defaultdict(list)
        for one in sorted(operations, key=lambda one: one.invoked):
            of[one.f].append(one)
        self.sends, self.reads, self.ranges, self.ends = (
            of[f] for f in ("send", "read", "range", "end"))
        self.processed, self.commits, self.committed = (
            of[f] for f in ("processed", "commit", "committed"))
        self.at = collections.defaultdict(set)  # offset: values
        for read in self.reads:
            for offset, value in read.records:
                self.at[offset].add(value)
        self.read = {value for values in self.at.values() for value in values}
        self.read_to = max(self.at, default=-1)
        for one in self.acknowledged():
            if one.offset is not None:
                self.at[one.offset].add(one.value)
        self.places = collections.defaultdict(set)  # value: offsets
        for offset, values in self.at.items():
            for value in values:
                self.places[value].add(offset)

    def tell(self, anomaly, text):
        self.found[anomaly].append(f"{self.name}: {text}")

    def acknowledged(self):
        return [one for one in self.sends if one.outcome == "ok"]

    def check(self):
        self.check_places()
        self.check_acknowledged()
        self.check_readers()
        self.check_senders()
        self.check_acknowledgements()
        self.check_ends()
        self.check_last_reads()
        self.check_group()

    def check_places(self):
        for offset, values in sorted(self.at.items()):
            if len(values) > 1:
                self.tell("inconsistent-offset", f"{offset}: {sorted(values)}")
        for value, offsets in self.places.items():
            if len(offsets) > 1:
                self.tell("duplicate", f"{value} at {sorted(offsets)}")
        for value in sorted(self.read):
            one = self.sent.get(value)
            if one is None:
                self.tell("phantom", value)
            elif one.outcome == "fail":
                self.tell("aborted-read", value)
            elif f"{one.topic}/{one.partition}" != self.name:
                self.tell("misplaced", f"{value} was sent to {one.topic}/{one.partition}")

    def check_acknowledged(self):
        all_read = any(read.final for read in self.reads)
        for one in self.acknowledged():
            passed = one.offset is not None and one.offset <= self.read_to
            if one.value not in self.read and (passed or all_read):
                self.tell("lost-write" if passed else "unseen", f"{one.value}, offset {one.offset}")

    def check_readers(self):
        """Offsets are dense: each reader gets each."""
        position = {}
        for read in self.reads:
            due = position.get(read.process, read.offset)
            for offset, _ in read.records:
                if due is not None and offset != due:
                    name = "poll-skip" if offset > due else "nonmonotonic-poll"
                    self.tell(name, f"{read.process} got {offset} and not {due}")
                due = offset + 1
            position[read.process] = due
        for one in self.ranges:
            if one.offset > one.high:
                self.tell("end-regress", f"{one.process} stands at {one.offset}, and was told that "
                                         f"{one.high} is the end")
            if one.offset < one.low:
                self.tell("start-moved", f"to {one.low}")

    def check_senders(self):
        last = {}
        for one in self.sends:  # by the moment of sending
            offsets = self.places.get(one.value)
            if not offsets:
                continue
            before = last.get(one.process, (-1, ""))
            if min(offsets) < before[0]:
                self.tell("nonmonotonic-send", f"{one.value} at {min(offsets)}, {before[1]}, sent "
                                               f"before it, at {before[0]}")
            last[one.process] = (min(offsets), one.value)

    def check_acknowledgements(self):
        told = sorted((one.completed, one.offset) for one in self.acknowledged()
                      if one.offset is not None)
        highest = -1
        for one in self.acknowledged():
            while told and told[0][0] < one.invoked:
                highest = max(highest, heapq.heappop(told)[1])
            if one.offset is not None and one.offset <= highest:
                self.tell("ack-rewind", f"{one.value} at {one.offset}, when {highest} had been "
                                        "acknowledged")

    def check_ends(self):
        known = [(one.completed, one.offset + 1, one.value) for one in self.acknowledged()
                 if one.offset is not None]
        known += [(one.completed, one.records[-1][0] + 1, f"what {one.process} read")
                  for one in self.reads if one.records]
        known += [(one.completed, one.high, f"the end that {one.process} was told")
                  for one in self.ends]
        known.sort()
        highest, by, at = -1, "", 0
        for one in self.ends:
            while at < len(known) and known[at][0] < one.invoked:
                if known[at][1] > highest:
                    highest, by = known[at][1:]
                at += 1
            if one.high < highest:
                self.tell("end-regress", f"{one.high} told to {one.process}, when it had been "
                                         f"{highest} by {by}")

    def check_last_reads(self):
        last = collections.defaultdict(set)
        for read in self.reads:
            if read.final:
                last[read.process].update(offset for offset, _ in read.records)
        read_to = max((max(offsets, default=-1) for offsets in last.values()), default=-1)
        for process, offsets in sorted(last.items()):
            if lacking := sorted(set(range(read_to + 1)) - offsets):
                self.tell("replica-divergence", f"{process} lacks {len(lacking)} offsets from "
                                                f"{lacking[0]} on")

    def check_group(self):
        """Each answer that a group was given is at least as new as all commits answered before."""
        made = {one.high for one in self.commits}
        taken = [one for one in self.commits if one.outcome == "ok"]
        told = sorted((one.completed, one.high) for one in taken)
        highest, at = -1, 0
        for one in sorted(taken + self.committed, key=lambda one: one.invoked):
            while at < len(told) and told[at][0] < one.invoked:
                highest = max(highest, told[at][1])
                at += 1
            high = -1 if one.high is None else one.high
            if high < highest:
                name = "commit-regress" if one.f == "commit" else "stale-commit"
                self.tell(name, f"{one.high} for {one.process}, when {highest} was committed")
            if one.f == "committed" and high >= 0 and high not in made:
                self.tell("spurious-commit", f"{high} told to {one.process}")
        last = max((one.high or 0 for one in self.committed if one.final), default=0)
        given = {offset for one in self.processed for offset, _ in one.records}
        if lacking := sorted(set(range(last)) - given):
            self.tell("processed-hole", f"{len(lacking)} records from {lacking[0]} on, below it")


def check_takes(operations, found):
    """GET gives each record at least once, and after an EMPTY none of those that were there before.
    An answer that was lost on its way may have been a record."""
    sent = {one.value: one for one in operations if one.f == "send"}
    takes = sorted((one for one in operations if one.f == "take"), key=lambda one: one.invoked)
    taken = [one for one in takes if one.outcome == "ok" and one.value is not None]
    empties = sorted((one for one in takes if one.outcome == "ok" and one.value is None),
                     key=lambda one: one.completed)
    values = {one.value for one in taken}
    for value in sorted(values):
        if value not in sent or sent[value].outcome == "fail":
            found["taken-unsent"].append(value)
    missing = [value for value, one in sent.items() if one.outcome == "ok" and value not in values]
    unknown = sum(one.outcome == "info" for one in takes)
    if len(missing) > unknown and any(one.final for one in takes):
        found["never-taken"].append(f"{len(missing)} records, such as {missing[0]}; {unknown} "
                                    "answers were lost")
    latest, at = 0, 0  # latest: when the last EMPTY was asked for that was told before
    for one in taken:
        while at < len(empties) and empties[at].completed < one.invoked:
            latest = max(latest, empties[at].invoked)
            at += 1
        source = sent.get(one.value)
        if source and source.outcome == "ok" and source.completed < latest:
            found["taken-after-empty"].append(f"{one.value} by {one.process}")


def taken_again(operations):
    """How often a GET was given what another one had been given: at least once is not once."""
    values = [one.value for one in operations
              if one.f == "take" and one.outcome == "ok" and one.value is not None]
    return len(values) - len(set(values))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.split("\n\n", maxsplit=2)[1])
    found = check(log_history.read_back(pathlib.Path(sys.argv[1])))
    for line in found.lines(each=100):
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
