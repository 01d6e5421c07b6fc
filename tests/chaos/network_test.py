#!/usr/bin/env python3
"""The network that the nemesis cuts: what is cut is cut, one way, and nothing else is. And what
judges a run: it finds what is wrong with one."""

import pathlib
import random
import subprocess
import sys
import tempfile
import types
import unittest

import history
import nemesis
import network
import service_test
from network import OUTSIDE

# Prints whatever arrives, a datagram a line.
LISTEN = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as on:
    on.bind(("0.0.0.0", 7))
    print("ready", flush=True)
    while True:
        print(on.recv(100).decode(), flush=True)
"""
SAY = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as to:
    to.sendto(sys.argv[2].encode(), (sys.argv[1], 7))
"""


class NetworkTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hosts = network.Network(3)
        cls.listeners = {}
        for host in cls.hosts.everyone():
            cls.listeners[host] = subprocess.Popen(
                [*cls.hosts.inside(host), sys.executable, "-c", LISTEN], stdout=subprocess.PIPE,
                text=True)
            assert cls.listeners[host].stdout.readline() == "ready\n"

    @classmethod
    def tearDownClass(cls):
        for listener in cls.listeners.values():
            listener.kill()
            listener.wait()
            listener.stdout.close()

    def tearDown(self):
        self.hosts.heal()

    def say(self, sender, receiver, text):
        subprocess.run([*self.hosts.inside(sender), sys.executable, "-c", SAY,
                        self.hosts.address(receiver), text], check=True)

    def heard(self, receiver):
        """Who of the others it hears: each says so, and it itself says when that was all."""
        for sender in self.hosts.everyone():
            if sender != receiver:
                self.say(sender, receiver, str(sender))
        self.say(receiver, receiver, "end")
        lines = iter(self.listeners[receiver].stdout.readline, "end\n")
        return [int(line) for line in lines]

    def everything(self):
        return {receiver: self.heard(receiver) for receiver in self.hosts.everyone()}

    def test_everybody_hears_everybody(self):
        self.assertEqual(self.everything(), {1: [2, 3, OUTSIDE], 2: [1, 3, OUTSIDE],
                                             3: [1, 2, OUTSIDE], OUTSIDE: [1, 2, 3]})

    def test_a_cut_is_one_way(self):
        self.hosts.cut(1, 2)
        self.assertEqual(self.everything(), {1: [2, 3, OUTSIDE], 2: [3, OUTSIDE],
                                             3: [1, 2, OUTSIDE], OUTSIDE: [1, 2, 3]})

    def test_an_isolated_host_is_reached_from_outside_only(self):
        self.hosts.isolate(2)
        self.assertEqual(self.everything(), {1: [3, OUTSIDE], 2: [OUTSIDE], 3: [1, OUTSIDE],
                                             OUTSIDE: [1, 2, 3]})

    def test_outside_can_be_cut_off_too(self):
        self.hosts.cut(OUTSIDE, 1)
        self.assertEqual(self.heard(1), [2, 3])
        self.assertEqual(self.heard(OUTSIDE), [1, 2, 3])

    def test_what_is_healed_is_as_it_was(self):
        for host in self.hosts.hosts:
            self.hosts.isolate(host)
        self.assertEqual(self.heard(1), [OUTSIDE])
        self.hosts.heal()
        self.assertEqual(self.heard(1), [2, 3, OUTSIDE])


def write(invoked, completed, key="k", value="v", session=1):
    return history.Operation(session, "put", key, invoked, (value,), completed)


def read(invoked, completed, value, key="k"):
    return history.Operation(9, "get", key, invoked, (), completed, value)


class JudgesTest(unittest.TestCase):
    def verdict(self, *operations):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "history"
            history.write_down(operations, path)
            return history.judge(service_test.CHECKER, path)

    def test_a_write_that_was_lost(self):
        self.assertIsNone(self.verdict(write(1, 2), read(3, 4, "v")))
        self.assertIn("key k", self.verdict(write(1, 2), read(3, 4, "-")))

    def test_a_write_of_unknown_outcome_may_be_there_or_not(self):
        self.assertIsNone(self.verdict(write(1, 0), read(3, 4, "v")))
        self.assertIsNone(self.verdict(write(1, 0), read(3, 4, "-")))
        self.assertIn("key k", self.verdict(write(1, 0), read(3, 4, "v"), read(5, 6, "-")))

    def test_a_history_that_cannot_be_read_is_no_good_one(self):
        self.assertIn("no operation", self.verdict(history.Operation(1, "fetch", "k", 1)))

    def load(self, replies, unknown=0):
        return types.SimpleNamespace(workers=[types.SimpleNamespace(
            replies=replies, added_unknown=unknown)])

    def test_additions_are_counted(self):
        def wrong(*arguments):
            return list(service_test.wrong_counter(*arguments, node=1))
        self.assertEqual(wrong(self.load([1, 2, 3]), 3), [])
        self.assertEqual(wrong(self.load([1, 3], unknown=1), 3), [])
        self.assertEqual(len(wrong(self.load([1, 2, 2], unknown=9), 3)), 1)
        self.assertEqual(len(wrong(self.load([1, 2, 3]), 4)), 1)
        self.assertEqual(len(wrong(self.load([1, 2, 3], unknown=1), 2)), 2)

    def test_nothing_is_told_without_a_majority(self):
        def told(majority, *operations):
            done = [nemesis.Done("all_apart", nemesis.Fault("apart", majority), 10, 20)]
            return list(service_test.told_without_majority(done, operations))
        self.assertEqual(told(True, write(11, 12)), [])
        self.assertEqual(told(False, write(9, 12), write(11, 21), write(11, 0)), [])
        self.assertEqual(len(told(False, write(11, 12))), 1)

    def test_the_longest_silence(self):
        self.assertEqual(service_test.longest_silence([1_000_000, 5_000_000], 0, 6_000_000), 4)
        self.assertEqual(service_test.longest_silence([], 0, 7_000_000), 7)


class Cluster:
    """Of one node, to which nothing happens."""
    nodes = [1]

    def __init__(self):
        self.healed = 0

    def running(self):
        return self.nodes

    def await_whole(self):
        pass


class Progress(nemesis.Progress):
    def __init__(self, goes_on):
        self.goes_on = goes_on

    def acknowledged_since(self, moment):
        return self.goes_on

    def check(self):
        if not self.goes_on:
            raise AssertionError("a client says why")


class NemesisTest(unittest.TestCase):
    def run_one(self, fault, progress):
        cluster, timeline = Cluster(), nemesis.Timeline()
        return cluster, nemesis.Nemesis(cluster, random.Random(1), progress,
                                        timeline, [fault]).run(0)

    def test_each_fault_is_done_once_and_healed(self):
        def fault(cluster, _):
            yield nemesis.Fault("something")
            cluster.healed += 1
        cluster, done = self.run_one(fault, Progress(True))
        self.assertEqual((cluster.healed, [one.name for one in done]), (1, ["fault"]))

    def test_writes_that_do_not_go_on_end_the_run(self):
        def fault(_cluster, _random):
            yield nemesis.Fault("something")
        with self.assertRaisesRegex(AssertionError, "a client says why"):
            self.run_one(fault, Progress(False))


if __name__ == "__main__":
    network.enter()
    unittest.main(verbosity=2)
