#!/usr/bin/env python3
"""The key-value example as real processes on three hosts with a disk each, and a nemesis that kills
and stops them, cuts them off from each other, one way and both, has links lose, double, delay and
reorder what they carry, and fills, freezes and cuts off their disks from power: what its clients
were told has to be linearizable, and nothing that was acknowledged may be lost.

usage: service_test.py [--seconds 60] [--seed N] [--clients 5] [--fault NAME]...

Every node has a network namespace and an address of its own (network.py), with TLS between all, and
a disk of its own (disks.py), whose power is cut where this is root with loop devices.
Every fault is done once in an order of chance, then again until the time is over. The report, the
timeline, the history and what the nodes said are left in build/chaos/service, after a failure their
data too. The seed draws the order and the victims; what the machine does with the time in between
is its own.
exit status: 0 all well, 1 a failure, 77 the machine permits no network namespaces.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import disks
import nemesis
import network
from history import Client, Operation, Worker, judge, write_down
from network import OUTSIDE

SOURCE = pathlib.Path(os.environ.get("WALRUS_SOURCE", pathlib.Path(__file__).parents[2]))
BUILD = pathlib.Path(os.environ.get("WALRUS_BUILD", SOURCE / "build/release"))
WALRUS = os.environ.get("WALRUS_BINARY") or str(BUILD / "bin/walrus")
EXAMPLE, CHECKER = BUILD / "bin/walrus_example_kv", BUILD / "bin/walrus_check_history"
PORT = 9093
PAUSE_SECONDS = 0.002  # of a client between two operations
BULK_BYTES, BULK_KEYS = 32 << 10, 8  # so much is written that snapshots are taken and sent:
SNAPSHOT_BYTES = 8 * disks.MIB  # of commands, until one is taken
CLIENT_NODE = 200
DISK_BYTES = 512 * disks.MIB


class KeyValue(disks.ClusterOnDisks):
    def __init__(self, hosts, said, work):
        super().__init__(hosts, said, work, 3, DISK_BYTES)
        self.certificates = self.work / "certificates"
        self.make_certificates()

    def make_certificates(self):
        self.run_walrus("cert", "ca", self.certificates)
        for node, host in [*((node, node) for node in self.nodes), (CLIENT_NODE, OUTSIDE)]:
            self.run_walrus("cert", "node", self.certificates, "--node-id", node, "--address",
                            self.network.address(host))

    def run_walrus(self, *words):
        subprocess.run([WALRUS, *map(str, words)], check=True, stdout=subprocess.DEVNULL)

    def addr(self, node):
        return f"{self.network.address(node)}:{PORT}"

    def program(self, node):
        return [str(EXAMPLE), "--tls", str(self.certificates / f"node-{node}")]

    def command(self, node):
        return self.booted(node, [
            *self.program(node), "--snapshot-after", SNAPSHOT_BYTES, "serve", node, self.data(node),
            *(f"{founder}={self.addr(founder)}" for founder in self.nodes)])

    def client_command(self, nodes=None):
        return [*self.program(CLIENT_NODE), "client", *map(self.addr, nodes or self.nodes)]

    def status(self, node):
        name = self.certificates / f"node-{CLIENT_NODE}"
        done = subprocess.run(
            [WALRUS, "service", "status", "--json", "--timeout-ms", "1000", "--addr",
             self.addr(node), "--tls-ca", self.certificates / "ca.pem", "--tls-cert",
             f"{name}.pem", "--tls-key", f"{name}.key"], capture_output=True, check=False)
        return json.loads(done.stdout) if done.stdout else None

    def leads(self, node):
        status = self.status(node)
        return status["term"] if status and status["role"] == "leader" else None


def full_leader(cluster, random):
    """It goes on where its journal has room, and then hands over."""
    node = cluster.leader()
    cluster.disks[node].fill(0)
    end = time.monotonic() + nemesis.DEADLINE
    while cluster.leader() == node:
        assert time.monotonic() < end, f"node {node} leads with a full disk"
    yield nemesis.Fault(f"the disk of {node}, the leader, is full until another one leads")
    cluster.disks[node].free()


def full_follower(cluster, random):
    node = nemesis.a_follower(cluster, random)
    cluster.disks[node].fill(0)
    yield nemesis.Fault(f"the disk of {node}, a follower, is full")
    cluster.disks[node].free()


FAULTS = [*nemesis.FAULTS, *nemesis.SLOW_LINKS, full_leader, full_follower]


class Load(nemesis.Progress):
    """The clients; and one more that writes large values, and kills one of them now and then."""

    def __init__(self, cluster, seed, clients):
        self.command = cluster.client_command()
        self.random = random.Random(seed)
        self.workers = [Worker(number, self.command, seed, PAUSE_SECONDS)
                        for number in range(1, clients + 1)]
        self.bulk = threading.Thread(target=self.write_bulk)
        self.bulk_bytes = 0
        self.ended = threading.Event()

    def start(self):
        for thread in [*self.workers, self.bulk]:
            thread.start()

    def end(self):
        self.ended.set()
        for worker in self.workers:
            worker.ended.set()
        for thread in [*self.workers, self.bulk]:
            if thread.is_alive():
                thread.join()

    def write_bulk(self):
        client, number = None, 0
        while not self.ended.wait(PAUSE_SECONDS):
            client = client or Client(self.command)
            number += 1
            answer = client.ask(f"put bulk{number % BULK_KEYS} {'x' * BULK_BYTES}")
            if answer == "ok":
                self.bulk_bytes += BULK_BYTES
            else:
                client.end()
                client = None
            if number % 100 == 0:
                self.random.choice(self.workers).kill_client()
        if client:
            client.end()

    def acknowledged_since(self, moment):
        return any(worker.last_write_invoked >= moment for worker in self.workers)

    def check(self):
        for worker in self.workers:
            if worker.problem:
                raise worker.problem

    def operations(self):
        return [one for worker in self.workers for one in worker.operations]

    def kept(self):
        return [one for worker in self.workers for one in worker.kept]


class Failures(list):
    def unless(self, holds, what):
        if not holds:
            self.append(what)


def read_back(cluster, load, failures):
    """What every node has in the end, read by way of it: all that was acknowledged, the same
    counter. The reads join the history."""
    read, kept = [], load.kept()
    for node in cluster.nodes:
        client = Client(cluster.client_command([node]))
        lost = 0
        for one in kept:
            operation = Operation(client.session or 0, "get", one.key, time.monotonic_ns())
            answer = client.ask(f"?get {one.key}")
            operation.completed = time.monotonic_ns()
            operation.answer = "-" if answer == "not found" else str(answer)
            read.append(operation)
            lost += answer != one.words[0]
        failures.unless(lost == 0, f"node {node} has lost {lost} of {len(kept)} acknowledged")
        count = client.ask("?get n")
        counted = {"not found": 0}.get(count, int(count) if (count or "").isdigit() else -1)
        failures += wrong_counter(load, counted, node)
        client.end()
    return read


def wrong_counter(load, count, node):
    """Every "add" was applied exactly once: no two were told the same."""
    told = sorted(reply for worker in load.workers for reply in worker.replies)
    unknown = sum(worker.added_unknown for worker in load.workers)
    if len(set(told)) != len(told):
        yield "two additions got the same reply"
    if told and not told[-1] <= count:
        yield f"node {node} counts {count}, and {told[-1]} was told before"
    if not len(told) <= count <= len(told) + unknown:
        yield f"node {node} counts {count} of {len(told)} additions and {unknown} unknown ones"


def told_without_majority(done, operations):
    for one in done:
        if one.fault.majority:
            continue
        told = [operation.line() for operation in operations
                if operation.kind != "get" and not operation.failed and
                one.begun <= operation.invoked and 0 < operation.completed <= one.ended]
        if told:
            yield f"acknowledged during '{one.fault.what}': {told[0]}"


def longest_silence(writes, begun, ended):
    """Milliseconds in which nothing was acknowledged."""
    moments = [begun, *(moment for moment in writes if begun < moment < ended), ended]
    return max(later - before for before, later in zip(moments, moments[1:])) / 1e6


def report(done, load, operations):
    """A line a kind of fault: how often, and the longest time without an acknowledged write."""
    writes = sorted(one.completed for one in operations if one.kind != "get" and one.completed)
    kinds = {}
    for one in done:
        kinds.setdefault(one.name, []).append(longest_silence(writes, one.begun, one.ended))
    lines = [f"{'fault':24s}{'times':>6s}{'silence, longest':>20s}"]
    for name in sorted(kinds):
        majority = next(one.fault.majority for one in done if one.name == name)
        silence = f"{max(kinds[name]):.0f} ms" if majority else "no majority"
        lines.append(f"{name:24s}{len(kinds[name]):6d}{silence:>20s}")
    unknown = sum(one.completed == 0 for one in operations)
    killed = sum(worker.killed for worker in load.workers)
    lines.append(f"{len(operations)} operations, {len(writes)} acknowledged writes, {unknown} "
                 f"unknown, {killed} clients killed, {load.bulk_bytes >> 20} MiB in large values")
    return lines


def run(options, work, left):
    hosts = network.Network(3)
    hosts.start_switch(options.seed)
    cluster = KeyValue(hosts, left, work)
    timeline, failures = nemesis.Timeline(), Failures()
    load = Load(cluster, options.seed, options.clients)
    here = FAULTS + (disks.ON_LOOP_DISKS if cluster.loops else [])
    faults = [fault for fault in here if not options.fault or fault.__name__ in options.fault]
    one = nemesis.Nemesis(cluster, random.Random(options.seed), load, timeline, faults)
    try:
        cluster.start_all()
        timeline.add(f"three nodes are ready, {cluster.leader()} leads")
        load.start()
        one.run(options.seconds)
        load.end()
        load.check()
        timeline.add("the clients have ended; every node is read")
        operations = load.operations()
        read = read_back(cluster, load, failures)
        status = cluster.status(cluster.leader())
        for node in cluster.nodes:
            ended = cluster.end(node)
            failures.unless(ended == 0, f"node {node} ended with status {ended}")
    except AssertionError as problem:
        failures.append(str(problem))
        operations, read, status = load.operations(), [], None
    finally:
        hosts.heal()
        cluster.thaw()
        load.end()
        cluster.end_all()
        hosts.close()
    history = left / "history"
    write_down(operations + read, history)
    verdict = judge(CHECKER, history)
    failures.unless(verdict is None, f"not linearizable: {verdict}")
    failures += told_without_majority(one.done, operations)
    failures.unless(len(load.kept()) >= len(one.done), "hardly anything was written")
    lines = report(one.done, load, operations)
    if status:
        lines.append(f"term {status['term']}, log index {status['commit_index']}, last snapshot at "
                     f"{status['snapshot_index']}")
    lines.append(f"{len(load.kept())} acknowledged writes read on every node, "
                 f"{'linearizable' if verdict is None else 'NOT LINEARIZABLE'}, "
                 f"{len(failures)} failures")
    if failures:
        cluster.keep_images(left)
    (left / "report").write_text("\n".join(timeline.lines + lines + failures) + "\n")
    print("\n".join(lines))
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=5)
    parser.add_argument("--fault", action="append", help="these alone",
                        choices=[fault.__name__ for fault in FAULTS + disks.ON_LOOP_DISKS])
    options = parser.parse_args()
    network.enter()
    left = SOURCE / "build/chaos/service"
    shutil.rmtree(left, ignore_errors=True)
    left.mkdir(parents=True)
    work = tempfile.mkdtemp(prefix="walrus-service-", dir=disks.roomy_directory())
    try:
        failures = run(options, work, left)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    for failure in failures:
        print(f"FAILURE {failure}")
    if failures:
        print(f"to repeat: python3 tests/chaos/service_test.py --seed {options.seed} --seconds "
              f"{options.seconds:g}; {left} has the history and what the nodes said")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
