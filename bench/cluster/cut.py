#!/usr/bin/env python3
"""Outages by a cut network, for `./dev bench cluster`: nodes are hosts of a network of their own
(tests/chaos/network.py), and a leader is cut off from the other nodes while clients reach it.

usage: cut.py OUT.json CUTS PARTITIONS RECORDS-PER-SECOND-AND-PARTITION
Writes the outages of each client, nanoseconds, a partition and cut each. Status 77: this machine
allows no namespaces.
"""

import contextlib
import json
import pathlib
import sys
import time
import types

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench/cluster"), str(ROOT / "tests/chaos")]
sys.path.insert(1, str(ROOT / "bench"))

import network  # noqa: E402


def main():
    network.enter()
    import systems
    import trials
    times = types.SimpleNamespace(partitions=int(sys.argv[3]), partition_rate=float(sys.argv[4]))
    samples = {}
    with running(systems, network.Network(systems.COPIES)) as cluster:
        cluster.create_topic(trials.TOPIC, times.partitions)
        for watches in trials.clients_in_turn(cluster, times, trials.SILENCE_MS):
            incidents = trials.Incidents(cluster, watches)
            for cut in range(int(sys.argv[2])):
                cluster.await_balance(trials.TOPIC)
                incidents.suffer(1 + cut % len(cluster.nodes), cluster.cut_off)
                cluster.heal()
                cluster.await_settled()
            trials.end_of(watches, incidents.errors)
            samples |= incidents.samples
    pathlib.Path(sys.argv[1]).write_text(json.dumps(samples))


@contextlib.contextmanager
def running(systems, hosts):
    """As systems.running(), of nodes on hosts."""

    class Host(systems.nodes.Node):
        def __init__(self, directory, number, join, *arguments):
            self.host, self.prefix = hosts.address(number), hosts.inside(number)
            super().__init__(directory, number, join, "--insecure", *arguments)

    class Hosts(systems.Walrus):
        def make_node(self, number, join, arguments):
            return Host(self.directory / f"node{number}", number, join, *arguments)

        def cut_off(self, number):
            self.away.add(number)
            at = time.monotonic_ns()
            hosts.isolate(number)
            return at

        def heal(self):
            hosts.heal()
            self.away.clear()

    with systems.running(Hosts) as cluster:
        yield cluster


if __name__ == "__main__":
    main()
