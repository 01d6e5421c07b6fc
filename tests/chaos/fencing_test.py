#!/usr/bin/env python3
"""Acceptance A5: a partition with fencing. The leader is cut off from the other nodes, and clients
reach all of them: at the leader nothing is acknowledged any more, the others go on, and after the
heal all have the same, with nothing lost and nothing twice."""

import json
import pathlib
import tempfile
import time
import unittest

import log_check
import log_clients
import network
import run
from walrus import wait_until
from walrus_cluster import MIB, WalrusCluster

PARTITIONS = 3
PAUSE_SECONDS = 0.05
ASKED_MIN = 3  # in the minority, with their answers, before it ends


class Fencing(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(dir=run.roomy_directory())
        self.addCleanup(directory.cleanup)
        self.hosts = network.Network(3)
        self.addCleanup(self.hosts.close)
        work = pathlib.Path(directory.name)
        self.cluster = WalrusCluster(self.hosts, work, work, 3, 128 * MIB, 1)
        self.addCleanup(self.cluster.end_all)
        self.cluster.start_all()
        self.cluster.await_active()
        self.cluster.topic, self.cluster.partitions = "t", PARTITIONS
        self.assertEqual(self.cluster.ask(1, f"CREATE t partitions={PARTITIONS}"), "OK")
        self.history = log_clients.History([("t", number) for number in range(PARTITIONS)], [])
        self.writers = {node: log_clients.Writer(f"writer{node}", self.history, PAUSE_SECONDS,
                                                 self.cluster.native, node)
                        for node in self.cluster.nodes}
        self.addCleanup(self.end_writers)

    def end_writers(self):
        for writer in self.writers.values():
            writer.ended.set()
        for writer in self.writers.values():
            if writer.is_alive():
                writer.join()

    def answered(self, node, since):
        """What was asked at a node from then on, and has its answer or will have none."""
        asked = [one for one in self.history.operations
                 if one.node == node and one.invoked >= since]
        return [one for one in asked if one.completed]

    def await_writes(self, since, what):
        wait_until(lambda: all(newest >= since for newest in self.history.acknowledged.values()),
                   what)

    def test_a5_minority_never_acknowledges_majority_continues_heal_converges(self):
        for writer in self.writers.values():
            writer.start()
        self.await_writes(1, "writes before the cut")
        leader = self.cluster.leader()
        self.hosts.isolate(leader)
        cut = time.monotonic_ns()
        self.await_writes(cut, "writes in the majority")
        asked = wait_until(lambda: len(asked := self.answered(leader, cut)) >= ASKED_MIN and asked,
                           "answers in the minority")
        self.await_writes(asked[-1].completed, "writes in the majority, still")
        healed = time.monotonic_ns()
        self.assertEqual([one.value for one in self.answered(leader, cut)
                          if one.outcome == "ok" and one.completed <= healed], [])
        self.hosts.heal()
        wait_until(lambda: any(one.outcome == "ok" for one in self.answered(leader, healed)),
                   "acknowledgements at the node that was cut off")
        self.end_writers()
        self.assertEqual([one.problem for one in self.writers.values() if one.problem], [])
        self.read_everything()
        found = log_check.check(self.history.operations, [(cut, healed, leader, "the cut")])
        self.assertEqual(list(found.lines()), [])

    def controller(self, *nodes):
        """Who leads the metadata, as one of these nodes knows it."""
        def leads():
            told = [self.cluster.ask(node, "CLUSTER status") for node in nodes]
            return next((json.loads(one)["controller"] for one in told
                         if one and not one.startswith("ERR ")), None)
        return wait_until(leads, f"a leader of the metadata, for {nodes}")

    def test_metadata_goes_on_without_its_leader_when_that_is_cut_off(self):
        for writer in self.writers.values():
            writer.start()
        self.await_writes(1, "writes before the cut")
        leader = self.controller(*self.cluster.nodes)
        others = [node for node in self.cluster.nodes if node != leader]
        self.hosts.isolate(leader)
        cut = time.monotonic_ns()
        self.await_writes(cut, "writes in the majority")
        seconds = (time.monotonic_ns() - cut) / 1e9
        wait_until(lambda: self.controller(*others) in others, "another one leads")
        # What only metadata can decide is decided there, too, and at the one that is cut off not.
        self.assertEqual(self.cluster.ask_any("CREATE made"), "OK")
        refused = self.cluster.ask(leader, "CREATE refused")  # within 2 s it says nothing at all
        self.assertTrue(refused is None or refused.startswith("ERR "), refused)
        healed = time.monotonic_ns()
        self.hosts.heal()
        wait_until(lambda: self.controller(leader) in others, "it follows the one that leads")
        self.await_writes(healed, "writes after the heal")
        self.cluster.await_whole()
        print(f"written in all partitions {seconds:.2f} s after the cut", flush=True)
        self.assertLess(seconds, 15)
        self.end_writers()
        self.assertEqual([one.problem for one in self.writers.values() if one.problem], [])
        self.read_everything()
        found = log_check.check(self.history.operations, [(cut, healed, leader, "the cut")])
        self.assertEqual(list(found.lines()), [])

    def read_everything(self):
        ends = run.ask_ends(self.history, self.cluster)
        for node in self.cluster.nodes:
            run.LastReader(self.history, self.cluster, node, ends).read_all()
        print(f"{sum(ends.values())} records at each node", flush=True)


if __name__ == "__main__":
    network.enter()
    unittest.main(verbosity=2)
