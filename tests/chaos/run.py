#!/usr/bin/env python3
"""Walrus under chaos: real `walrus serve` nodes on hosts of a network of their own, which are
killed, stopped, cut off, slowed down, drained and restarted, and their disks filled, frozen
and deprived of power, while native and Kafka clients write, read and take at all of them. Then all
is healed, everything is read from every node, and the history of the clients is judged
(log_check.py).

usage: ./dev chaos [--nodes 3|5] [--seconds 60] [--seed S] [--runs N] [--fault NAME]...

The page of a run is build/chaos/SEED/report.md, with a picture of its time line; beside it are the
history, the logs of the nemesis and of the Kafka producer and what the nodes said; after a
violation also their disks. The seed draws the faults, their order, their length and whom they hit,
by the part that he plays; what the machine does with the time in between is its own.
exit status: 0 all well, 1 a violation, 2 usage, 77 the machine permits no network namespaces.
"""

import argparse
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

import chaos_report
import confluent_kafka as kafka
import log_check
import log_clients
import log_history
import nemesis
import network
import walrus_faults
from cluster import DEADLINE
from disks import MIB, roomy_directory
from walrus_cluster import WalrusCluster

SOURCE = pathlib.Path(__file__).parents[2]
LEFT = SOURCE / "build/chaos"
LOG, LOG_PARTITIONS, QUEUE, QUEUE_PARTITIONS = "log", 3, "queue", 2
SEGMENT_RECORDS = 300  # so that a partition rolls every few seconds
DISK_BYTES, DISK_BYTES_PER_SECOND = 256 * MIB, MIB
WRITER_PAUSE, READER_PAUSE, QUEUE_PAUSE = 0.08, 0.15, 0.06  # seconds between two requests
CHECK_SECONDS = 120  # for a node to read everything


class Load(nemesis.Progress):
    """All clients of a run."""

    def __init__(self, cluster, history, left):
        self.history = history
        native, nodes, servers = cluster.native, cluster.nodes, cluster.servers()
        self.clients = []
        for node in nodes:
            self.clients += [
                log_clients.Writer(f"writer{node}", history, WRITER_PAUSE, native, node),
                log_clients.Reader(f"reader{node}", history, READER_PAUSE, native, node)]
        for node in nodes[:2]:
            self.clients += [
                log_clients.Putter(f"putter{node}", history, QUEUE_PAUSE, native, node),
                log_clients.Taker(f"taker{node}", history, QUEUE_PAUSE / 2, native, nodes[-node])]
        self.clients += [
            log_clients.KafkaWriter("kafka1", history, WRITER_PAUSE, servers,
                                    left / "kafka1.log"),
            log_clients.KafkaReader("kafkareader1", history, READER_PAUSE, servers),
            log_clients.KafkaReader("kafkareader2", history, READER_PAUSE, servers,
                                    cluster.rack(nodes[-1])),
            log_clients.GroupMember("member1", history, READER_PAUSE, servers),
            log_clients.GroupMember("member2", history, READER_PAUSE, servers),
            log_clients.EndWatcher("ends", history, READER_PAUSE, servers)]

    def fatal(self):
        return sum(getattr(client, "fatal", 0) for client in self.clients)

    def start(self):
        for client in self.clients:
            client.start()

    def end(self):
        for client in self.clients:
            client.ended.set()
        for client in self.clients:
            if client.is_alive():
                client.join()

    def acknowledged_since(self, moment):
        """In each partition."""
        return all(newest >= moment for newest in self.history.acknowledged.values())

    def check(self):
        for client in self.clients:
            if client.problem:
                raise AssertionError(f"{client.name} ended: {client.problem}")


class LastReader(log_clients.Reader):
    """Everything that one node gives, once all is healed: by READ, which its leader answers, and by
    a Kafka consumer of its rack, which reads its own copy."""

    def __init__(self, history, cluster, node, ends):
        super().__init__(f"last read at {node}", history, 0, cluster.native, node)
        self.ends = ends
        self.kafka = log_clients.KafkaReader(f"last read of the copy at {node}", history, 0,
                                             cluster.servers(), cluster.rack(node))

    def read_all(self):
        end = time.monotonic() + CHECK_SECONDS
        with self.native(self.node) as connection:
            for where, high in self.ends.items():
                while self.next.setdefault(where, 0) < high:
                    log_clients.read_from(connection, self, where, self.next[where], final=True)
                    assert time.monotonic() < end, f"{self.name} stands still: {self.next}"
        self.read_copy(end)

    def read_copy(self, end):
        consumer = kafka.Consumer(self.kafka.settings)
        consumer.assign([kafka.TopicPartition(*where, 0) for where in self.ends])
        try:
            while any(self.kafka.next[where] < high for where, high in self.ends.items()):
                self.kafka.take_all(consumer.consume(1000, 0.1), final=True)
                assert time.monotonic() < end, f"{self.kafka.name} stands still: {self.kafka.next}"
        finally:
            consumer.close()


def ask_ends(history, cluster):
    """Where each partition ends, now that nobody writes."""
    watcher = log_clients.EndWatcher("last ends", history, 0, cluster.servers())
    consumer = kafka.Consumer(watcher.settings)
    ends, deadline = {}, time.monotonic() + DEADLINE
    try:
        for where in history.acknowledged:
            while ends.get(where) is None:
                ends[where] = log_clients.ask_end(consumer, watcher, *where)
                assert time.monotonic() < deadline, f"nobody tells where {where} ends"
    finally:
        consumer.close()
    return ends


def ask_group(history, cluster):
    """Where the group stands in the end."""
    member = log_clients.GroupMember("last of the group", history, 0, cluster.servers())
    consumer = kafka.Consumer(member.settings)
    parts, deadline = [kafka.TopicPartition(*where) for where in history.log], \
        time.monotonic() + DEADLINE
    try:
        while not log_clients.ask_committed(consumer, member, parts, final=True):
            assert time.monotonic() < deadline, "nobody tells what the group has committed"
    finally:
        consumer.close()


def drain_queue(history, cluster):
    """At each node until it is EMPTY."""
    deadline = time.monotonic() + DEADLINE
    for node in cluster.nodes:
        taker = log_clients.Taker(f"last taker {node}", history, 0, cluster.native, node)
        with cluster.native(node) as connection:
            while True:
                taken = log_clients.take_one(connection, taker, taker.name, final=True)
                if taken.outcome == "ok" and taken.value is None:
                    break
                assert time.monotonic() < deadline, f"{QUEUE} is not empty at node {node}"


class ChaosRun:
    def __init__(self, options, seed, left, work):
        self.options, self.seed, self.left = options, seed, left
        self.hosts = network.Network(options.nodes)
        self.timeline = nemesis.Timeline()
        disk_bytes = DISK_BYTES + int(options.seconds * DISK_BYTES_PER_SECOND)
        # Of a node: one, as it is made with, or two, as older directories have.
        journals = 1 + seed % 2
        self.cluster = WalrusCluster(self.hosts, left, work, options.nodes, disk_bytes, journals)
        self.cluster.topic, self.cluster.partitions = LOG, LOG_PARTITIONS
        self.cluster.topics = [LOG, QUEUE]
        self.history = log_clients.History(
            [(LOG, partition) for partition in range(LOG_PARTITIONS)],
            [(QUEUE, partition) for partition in range(QUEUE_PARTITIONS)])
        self.load = Load(self.cluster, self.history, left)
        self.nemesis = nemesis.Nemesis(self.cluster, random.Random(seed), self.load, self.timeline,
                                       walrus_faults.faults_of(self.cluster, options.fault))
        self.failures = []
        self.began = self.ended = time.monotonic_ns()

    def run(self):
        """What is wrong with it, a line each."""
        try:
            self.begin()
            self.hurt()
            self.read_everything()
            self.end()
        except (AssertionError, OSError, EOFError, subprocess.SubprocessError,
                kafka.KafkaException, log_clients.Strange) as problem:
            self.failures.append(f"{type(problem).__name__}: {problem}")
            self.timeline.add(f"failed: {problem}")
            for node in self.cluster.processes:
                health = self.cluster.ask(node, "CLUSTER health")
                self.timeline.add(f"health at node {node}: {health}")
        finally:
            self.ended = max(self.ended, self.began + 1)
            self.hosts.heal()
            self.cluster.thaw()
            self.load.end()
            self.cluster.end_all()
            self.hosts.close()
        return self.judge()

    def begin(self):
        self.hosts.start_switch(self.seed)
        self.cluster.start_all()
        self.cluster.await_active()
        for topic, partitions in ((LOG, LOG_PARTITIONS), (QUEUE, QUEUE_PARTITIONS)):
            self.cluster.ask_any(f"CREATE {topic} partitions={partitions} "
                                 f"segment_records_max={SEGMENT_RECORDS}")
        self.began = time.monotonic_ns()
        self.timeline.add(f"{self.options.nodes} nodes are ready")
        self.load.start()

    def hurt(self):
        try:
            self.nemesis.run(self.options.seconds, each_once=False)
        finally:
            self.ended = time.monotonic_ns()
        self.load.end()
        self.load.check()

    def read_everything(self):
        self.cluster.await_whole()
        drain_queue(self.history, self.cluster)
        ask_group(self.history, self.cluster)
        ends = ask_ends(self.history, self.cluster)
        self.timeline.add(f"all is healed; {sum(ends.values())} records are read from each node")
        for node in self.cluster.nodes:
            LastReader(self.history, self.cluster, node, ends).read_all()

    def end(self):
        """In good order, and every checksum on every disk holds."""
        for node in self.cluster.nodes:
            status = self.cluster.end(node)
            if status:
                self.failures.append(f"node {node} ended with status {status}")
        for node in self.cluster.nodes:
            self.cluster.walrus("log", "verify", self.cluster.data(node))
        self.timeline.add("all have ended, all checksums hold")

    def judge(self):
        operations = self.history.operations
        log_history.write_down(operations, self.left / "history.jsonl")
        found = log_check.check(operations, nemesis.silences(self.nemesis.done))
        violations = [*self.failures, *found.lines()]
        run = chaos_report.Run(f"Chaos: seed {self.seed}, {self.options.nodes} nodes", self.began,
                               self.ended, operations, self.nemesis.done, self.cluster.states)
        (self.left / "timeline.svg").write_text(chaos_report.Picture(run).draw())
        verdict = "VIOLATED" if violations else "all well"
        (self.left / "report.md").write_text(
            chaos_report.page(run, verdict, self.facts(), violations))
        (self.left / "nemesis.log").write_text("\n".join(self.timeline.lines) + "\n")
        return violations

    def facts(self):
        operations = self.history.operations
        disks = "ext4 on loop devices" if self.cluster.loops else \
            "in memory, as this is not root with loop devices: no power cuts, no frozen disks"
        return {"to repeat": f"`{repeat(self.options, self.seed)}`",
                "disks": disks,
                "faults": f"{len(self.nemesis.done)} of "
                          f"{len({one.name for one in self.nemesis.done})} kinds",
                **chaos_report.counts(operations),
                "taken more than once": log_check.taken_again(operations),
                "idempotent producers that gave up": self.load.fatal()}


def repeat(options, seed):
    faults = "".join(f" --fault {name}" for name in options.fault or [])
    return (f"./dev chaos --nodes {options.nodes} --seconds {options.seconds:g} --seed {seed}"
            f"{faults}")


def run_seed(options, seed):
    left = LEFT / str(seed)
    shutil.rmtree(left, ignore_errors=True)
    left.mkdir(parents=True)
    work = tempfile.mkdtemp(prefix="walrus-chaos-", dir=roomy_directory())
    try:
        one = ChaosRun(options, seed, left, work)
        violations = one.run()
        if violations:
            one.cluster.keep_images(left)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    for name, value in one.facts().items():
        print(f"{name}: {value}")
    for violation in violations:
        print(f"VIOLATION {violation}")
    verdict = "VIOLATED" if violations else "all well"
    print(f"seed {seed}: {verdict}; {left / 'report.md'}", flush=True)
    return not violations


def main():
    parser = argparse.ArgumentParser(prog="./dev chaos",
                                     description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--nodes", type=int, default=3, choices=(3, 5))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=1, help="with this seed and those behind it")
    parser.add_argument("--fault", action="append", metavar="NAME", help="these alone",
                        choices=[fault.__name__ for fault in walrus_faults.ALL])
    options = parser.parse_args()
    if options.runs > 1:
        return run_seeds(options)
    network.enter()
    return 0 if run_seed(options, options.seed) else 1


def run_seeds(options):
    """Each run has a network, mounts and processes of its own, that go with it."""
    violated = []
    for seed in range(options.seed, options.seed + options.runs):
        words = [sys.executable, __file__, "--nodes", str(options.nodes), "--seconds",
                 str(options.seconds), "--seed", str(seed)]
        for name in options.fault or []:
            words += ["--fault", name]
        status = subprocess.run(words, check=False).returncode
        if status == network.SKIPPED:
            return status
        violated += [seed] if status else []
    print(f"{options.runs} runs, violated: {violated or 'none'}")
    return 1 if violated else 0


if __name__ == "__main__":
    sys.exit(main())
