#!/usr/bin/env python3
"""What judges a run of chaos: each anomaly is found in a history that has it, and none in a good
one. A seed repeats its schedule, and what is done to disks and links is done."""

import dataclasses
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml

import chaos_report
import disks
import log_check
import log_history
import nemesis
import network
import walrus_faults
from log_history import Operation


def send(value, invoked, completed, offset=None, outcome="ok", process="w", partition=0, **more):
    return Operation(process, "send", "t", invoked, completed, outcome, partition, value, offset,
                     **more)


def read(records, invoked=50, completed=51, process="r", **more):
    records = [list(one) for one in records]
    offset = more.pop("offset", records[0][0])
    return Operation(process, "read", "t", invoked, completed, "ok", more.pop("partition", 0),
                     offset=offset, records=records, **more)


def end(high, invoked, completed):
    return Operation("e", "end", "t", invoked, completed, "ok", 0, high=high)


def take(value, invoked, completed, outcome="ok", final=False):
    return Operation("g", "take", "t", invoked, completed, outcome, value=value, final=final)


GOOD = [send("a", 1, 2, 0), send("b", 3, 4, 1), send("c", 5, 0, outcome="info"),
        send("d", 7, 8, outcome="fail", process="w2"), read([(0, "a"), (1, "b")]),
        read([(2, "c")], 52, 53), end(2, 9, 10), end(3, 60, 61)]


class Anomalies(unittest.TestCase):
    def found(self, operations, silences=()):
        return sorted(log_check.check(operations, silences))

    def test_a_good_history(self):
        self.assertEqual(self.found(GOOD), [])

    def test_inconsistent_offset(self):
        self.assertEqual(self.found([*GOOD, read([(0, "a"), (1, "c")], process="r2")]),
                         ["duplicate", "inconsistent-offset"])

    def test_an_acknowledgement_counts_like_a_read(self):
        self.assertIn("inconsistent-offset",
                      self.found([send("a", 1, 2, 0), send("b", 1, 2, 0), read([(0, "a")])]))

    def test_duplicate(self):
        self.assertEqual(self.found([*GOOD, read([(3, "a")], 70, 71, "r2")]), ["duplicate"])

    def test_lost_write(self):
        history = [send("a", 1, 2, 0), send("b", 3, 4, 1), send("c", 5, 6, 2),
                   read([(0, "a")]), read([(2, "c")], 52, 53, process="r2")]
        self.assertEqual(self.found(history), ["lost-write"])

    def test_unseen(self):
        history = [send("a", 1, 2, 0), send("b", 3, 4, 1), read([(0, "a")], final=True)]
        self.assertEqual(self.found(history), ["unseen"])

    def test_unseen_without_an_offset(self):
        history = [send("a", 1, 2), send("b", 3, 4), read([(0, "b")], final=True)]
        self.assertEqual(self.found(history), ["unseen"])

    def test_nothing_is_unseen_before_the_last_reads(self):
        self.assertEqual(self.found([send("a", 1, 2, 0), send("b", 3, 4, 1), read([(0, "a")])]), [])

    def test_aborted_read(self):
        self.assertEqual(self.found([*GOOD, read([(3, "d")], 70, 71, "r2")]), ["aborted-read"])

    def test_phantom(self):
        self.assertEqual(self.found([*GOOD, read([(3, "x")], 70, 71, "r2")]), ["phantom"])

    def test_damaged_bytes_are_a_phantom(self):
        value = bytearray(log_history.bytes_of("t/0 w 1"))
        self.assertEqual(log_history.name_in(bytes(value)), "t/0 w 1")
        value[-20] ^= 1
        name = log_history.name_in(bytes(value))
        self.assertEqual(self.found([send("t/0 w 1", 1, 2, 0), read([(0, "t/0 w 1")]),
                                     read([(1, name)], process="r2")]), ["phantom"])

    def test_misplaced(self):
        there = [send("e", 1, 2, 0, partition=1), read([(0, "e")], partition=1)]
        self.assertEqual(self.found([*GOOD, *there]), [])
        self.assertEqual(self.found([*GOOD, *there, read([(3, "e")], 70, 71, "r2")]), ["misplaced"])

    def test_poll_skip(self):
        history = [send("a", 1, 2, 0), send("b", 3, 4, 1), send("c", 5, 6, 2)]
        whole = read([(0, "a"), (1, "b"), (2, "c")], process="r2")
        for reads in ([read([(0, "a"), (2, "c")])], [read([(0, "a")]), read([(2, "c")], 52, 53)],
                      [read([(1, "b")], offset=0)]):
            self.assertEqual(self.found([*history, whole, *reads]), ["poll-skip"])

    def test_nonmonotonic_poll(self):
        self.assertEqual(self.found([*GOOD, read([(1, "b")], 54, 55)]), ["nonmonotonic-poll"])
        self.assertEqual(self.found([*GOOD, read([(1, "b")], process="r2", offset=2)]),
                         ["nonmonotonic-poll"])

    def test_nonmonotonic_send(self):
        history = [send("a", 1, 0, outcome="info"), send("b", 2, 0, outcome="info"),
                   read([(0, "b"), (1, "a")])]
        self.assertEqual(self.found(history), ["nonmonotonic-send"])
        history[1] = dataclasses.replace(history[1], process="w2")
        self.assertEqual(self.found(history), [])

    def test_ack_rewind(self):
        history = [send("b", 1, 2, 1), send("a", 3, 4, 0, process="w2"), read([(0, "a"), (1, "b")])]
        self.assertEqual(self.found(history), ["ack-rewind"])
        history[1] = dataclasses.replace(history[1], invoked=1)
        self.assertEqual(self.found(history), [])

    def test_end_regress(self):
        for one in (end(1, 9, 10), end(2, 70, 71)):  # below what was acknowledged, below another
            self.assertEqual(self.found([*GOOD, one]), ["end-regress"])
        unacknowledged = [send("a", 1, 0, outcome="info"), read([(0, "a")], 2, 3)]
        self.assertEqual(self.found([*unacknowledged, end(0, 4, 5)]), ["end-regress"])
        self.assertEqual(self.found([*unacknowledged, end(0, 2, 5)]), [])

    def test_end_regress_told_to_a_reader(self):
        told = Operation("r", "range", "t", 60, 61, "ok", 0, offset=3, low=0, high=2)
        self.assertEqual(self.found([*GOOD, told]), ["end-regress"])

    def test_start_moved(self):
        told = Operation("r", "range", "t", 60, 61, "ok", 0, offset=0, low=1, high=3)
        self.assertEqual(self.found([*GOOD, told]), ["start-moved"])

    def test_replica_divergence(self):
        one = read([(0, "a"), (1, "b"), (2, "c")], process="one", final=True)
        other = read([(0, "a"), (1, "b")], process="other", final=True)
        self.assertEqual(self.found([*GOOD, one]), [])
        self.assertEqual(self.found([*GOOD, one, other]), ["replica-divergence"])
        self.assertEqual(self.found([send("b", 3, 4, 1), read([(1, "b")], final=True)]),
                         ["replica-divergence"])

    def test_told_in_minority(self):
        at = [dataclasses.replace(one, node=3) for one in GOOD]
        self.assertEqual(self.found(at, [(3, 4, None, "x")]), ["told-in-minority"])
        self.assertEqual(self.found(at, [(3, 4, 3, "x")]), ["told-in-minority"])
        self.assertEqual(self.found(at, [(3, 4, 2, "x"), (4, 9, None, "x"), (2, 3, None, "x")]), [])


class Queues(unittest.TestCase):
    GOOD = [send("a", 1, 2), send("b", 3, 4), send("c", 5, 0, outcome="info"), take("a", 6, 7),
            take("b", 8, 9), take(None, 10, 11, final=True)]

    def found(self, *operations):
        return sorted(log_check.check(operations))

    def test_a_good_history(self):
        self.assertEqual(self.found(*self.GOOD), [])

    def test_again_is_counted_and_no_anomaly(self):
        again = take("a", 8, 9)
        self.assertEqual(self.found(*self.GOOD, again), [])
        self.assertEqual(log_check.taken_again([*self.GOOD, again]), 1)

    def test_never_taken(self):
        late = send("d", 20, 21)
        self.assertEqual(self.found(*self.GOOD, late), ["never-taken"])
        self.assertEqual(self.found(*self.GOOD, late, take(None, 22, 0, "info")), [])

    def test_taken_after_empty(self):
        self.assertEqual(self.found(*self.GOOD, take("a", 12, 13)), ["taken-after-empty"])
        self.assertEqual(self.found(*self.GOOD, take("a", 10, 13)), [])

    def test_taken_unsent(self):
        self.assertEqual(self.found(*self.GOOD, take("x", 5, 6)), ["taken-unsent"])


def commit(high, invoked, completed, outcome="ok"):
    return Operation("m", "commit", "t", invoked, completed, outcome, 0, high=high)


def committed(high, invoked, final=False):
    return Operation("m", "committed", "t", invoked, invoked + 1, "ok", 0, high=high, final=final)


class Groups(unittest.TestCase):
    GOOD = [committed(None, 1), commit(2, 3, 4), commit(3, 5, 0, "info"), committed(2, 6),
            committed(3, 8), commit(3, 10, 11), committed(3, 20, final=True),
            Operation("m", "processed", "t", 2, 2, "ok", 0, records=[[0, "a"], [1, "b"], [2, "c"]])]

    def found(self, *more, less=None):
        return sorted(log_check.check([*(one for one in self.GOOD if one is not less), *more]))

    def test_a_good_history(self):
        self.assertEqual(self.found(), [])

    def test_stale_commit(self):
        self.assertEqual(self.found(committed(None, 5)), ["stale-commit"])
        self.assertEqual(self.found(committed(2, 12)), ["stale-commit"])

    def test_commit_regress(self):
        self.assertEqual(self.found(commit(2, 12, 13)), ["commit-regress"])
        self.assertEqual(self.found(commit(2, 12, 0, "info")), [])

    def test_spurious_commit(self):
        self.assertEqual(self.found(committed(4, 15)), ["spurious-commit"])

    def test_processed_hole(self):
        self.assertEqual(self.found(less=self.GOOD[-1]), ["processed-hole"])


class Written(unittest.TestCase):
    def test_a_history_is_read_as_it_was_written(self):
        operations = sorted(GOOD, key=lambda one: one.invoked)
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "history"
            log_history.write_down(GOOD, path)
            self.assertEqual(log_history.read_back(path), operations)
            self.assertEqual(self.judge(path), 0)
            log_history.write_down([*GOOD, read([(3, "x")], 70, 71, "r2")], path)
            self.assertEqual(self.judge(path), 1)

    def judge(self, path):
        return subprocess.run([sys.executable, log_check.__file__, path], check=False,
                              stdout=subprocess.DEVNULL).returncode

    def test_the_page_and_the_picture(self):
        done = nemesis.Done("cut_link", nemesis.Fault("a <link> is cut"), 10**9, 3 * 10**9, 12)
        operations = [send(f"v{at}", at * 10**8, at * 10**8 + 1) for at in (1, 2, 3, 25, 26, 40)]
        run = chaos_report.Run("Chaos", 0, 5 * 10**9, operations, [done],
                               [(0, 1, "up"), (2 * 10**9, 1, "dead")])
        self.assertEqual(run.longest_silence_ms(1 * 10**9, 3 * 10**9), 2200)
        self.assertEqual([name for name, _, _ in run.silences()], ["t/0"] * 2)
        page = chaos_report.page(run, "VIOLATED", chaos_report.counts(operations), ["phantom: x"])
        self.assertIn("| 1.0 | a <link> is cut | 2.0 | 2200 | 12 |", page)
        self.assertIn("phantom: x", page)
        picture = xml.fromstring(chaos_report.Picture(run).draw())
        titles = [one.text for one in picture.iter("{http://www.w3.org/2000/svg}title")]
        self.assertIn("a <link> is cut", titles)
        self.assertIn("dead", titles)


class Idle(nemesis.Progress):
    def acknowledged_since(self, moment):
        return True


class Pretended:
    """A cluster to which nothing happens, slowly or fast."""
    nodes, loops = [1, 2, 3], True

    def __init__(self, first_leader):
        self.turn = first_leader
        self.disks = self.network = self

    def leader(self):
        self.turn += 1
        return self.turn % 3 + 1

    def __getattr__(self, name):
        return lambda *_, **__: "OK" if name == "ask" else 0

    def __getitem__(self, node):
        return self

    def everyone(self):
        return [1, 2, 3, 254]


class Schedule(unittest.TestCase):
    def schedule(self, seed, first_leader=0):
        """What is done in which order, and what chance says of it, in no time."""
        slept, done = [], []
        before, nemesis.time.sleep = nemesis.time.sleep, slept.append
        try:
            one = nemesis.Nemesis(Pretended(first_leader), random.Random(seed), Idle(), Silent(),
                                  walrus_faults.ALL)
            done = [fault.name for fault in one.run(0)]
        finally:
            nemesis.time.sleep = before
        return done, slept

    def test_a_seed_repeats_it_whoever_leads(self):
        self.assertEqual(self.schedule(7), self.schedule(7, first_leader=1))
        self.assertNotEqual(self.schedule(7), self.schedule(8))
        self.assertEqual(len(set(self.schedule(7)[0])), len(walrus_faults.ALL))


class Silent(nemesis.Timeline):
    def add(self, text):
        pass


class Links(unittest.TestCase):
    def test_slow_one_way_and_healed(self):
        hosts = network.Network(2)
        self.addCleanup(hosts.close)
        echo = subprocess.Popen([*hosts.inside(2), sys.executable, "-c", ECHO],
                                stdout=subprocess.PIPE)
        self.addCleanup(echo.stdout.close)
        self.addCleanup(echo.wait)
        self.addCleanup(echo.kill)
        self.assertEqual(echo.stdout.readline(), b"ready\n")

        def way_and_back_ms():
            return float(subprocess.check_output(
                [*hosts.inside(1), sys.executable, "-c", ASK, hosts.address(2)]))
        hosts.slow(1, 2, delay_ms=40)
        self.assertGreaterEqual(way_and_back_ms(), 40)
        hosts.slow(2, 1, delay_ms=40, jitter_ms=5)
        self.assertGreaterEqual(way_and_back_ms(), 80)
        hosts.heal()
        self.assertLess(way_and_back_ms(), 40)
        hosts.slow(1, 2, loss_percent=100)
        self.assertEqual(way_and_back_ms(), -1)


ECHO = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as on:
    on.bind(("0.0.0.0", 7))
    print("ready", flush=True)
    while True:
        on.sendto(*on.recvfrom(100))
"""
ASK = """
import socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as to:
    to.settimeout(1)
    best = -1
    for _ in range(3):
        begun = time.monotonic()
        to.sendto(b"x", (sys.argv[1], 7))
        try:
            to.recv(100)
        except TimeoutError:
            break
        took = (time.monotonic() - begun) * 1e3
        best = took if best < 0 else min(best, took)
    print(best)
"""


@unittest.skipUnless(disks.may_loop(), "not root with loop devices")
class Disks(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.disk = disks.LoopDisk(directory.name, 32 << 20)
        self.disk.mount()
        self.addCleanup(self.disk.unmount)
        self.path = pathlib.Path(self.disk.mount_point)

    def write(self, name, sync):
        with (self.path / name).open("wb") as file:
            file.write(b"x" * 10_000)
            file.flush()
            if sync:
                os.fsync(file.fileno())

    def test_a_cut_takes_what_was_not_synced_and_nothing_else(self):
        self.write("synced", sync=True)
        self.write("lost", sync=False)
        self.disk.cut()
        self.disk.unmount()
        self.disk.mount()
        self.assertEqual((self.path / "synced").read_bytes(), b"x" * 10_000)
        lost = self.path / "lost"
        self.assertEqual(lost.read_bytes() if lost.exists() else b"", b"")

    def test_a_full_disk_and_room_again(self):
        self.disk.fill(0)
        with self.assertRaises(OSError):
            self.write("more", sync=True)
        self.disk.free()
        self.write("more", sync=True)

    def test_a_frozen_disk_lets_nobody_write_until_it_thaws(self):
        self.disk.freeze()
        writer = subprocess.Popen([sys.executable, "-c", "import pathlib, sys; "
                                   "pathlib.Path(sys.argv[1]).write_text('x')", self.path / "new"])
        self.assertRaises(subprocess.TimeoutExpired, writer.wait, 0.5)
        self.disk.thaw()
        self.assertEqual(writer.wait(30), 0)
        self.assertEqual((self.path / "new").read_text(), "x")


if __name__ == "__main__":
    network.enter()
    unittest.main(verbosity=2)
