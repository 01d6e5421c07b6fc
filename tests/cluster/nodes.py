"""Clusters of real processes on loopback, as the tests of tests/cluster drive them.

Ports are chosen once for each node and kept over its restarts, because the other nodes know it by
them. Waiting is for something to be seen, with a deadline.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
from walrus import (BINARY, DEADLINE, Server, environment, free_ports, main,  # noqa: E402
                    wait_until, walrus)

__all__ = ["Cluster", "ClusterTest", "BINARY", "DEADLINE", "environment", "free_ports", "main",
           "walrus", "wait_until"]


class Node(Server):
    """`walrus serve` as a node: all ports are its own for good."""

    host = "127.0.0.1"

    def __init__(self, directory, number, join, *arguments):
        super().__init__(directory, "--node-id", number, *arguments)
        self.number = number
        self.listen, self.kafka_listen, self.peer, self.admin_listen = (
            f"{self.host}:{port}" for port in free_ports(4))
        self.arguments += ["--peer-listen", self.peer]
        if join:
            self.arguments += ["--join", ",".join(join)]

    def rot(self, text):
        """One bit of it, where it lies in the node's stored segments, when it lies there once."""
        def found():
            places = []
            for path in pathlib.Path(self.directory).glob("segments/**/*"):
                data = path.read_bytes() if path.is_file() else b""
                places += [(path, at.start()) for at in re.finditer(re.escape(text), data)]
            return places if len(places) == 1 else None
        [(path, at)] = wait_until(found, f"{text} is stored")
        with open(path, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1]))


class Cluster:
    def __init__(self, directory, nodes=3, arguments=()):
        self.directory = pathlib.Path(directory)
        self.arguments = [str(word) for word in arguments]
        self.nodes = {}
        first = self.directory / "node1"
        done = walrus("cluster", "init", "--data-dir", first, "--node-id", 1)
        assert done.returncode == 0, done.stderr
        for number in range(1, nodes + 1):
            self.add(number)
        self.await_states({number: "active" for number in self.nodes})

    def add(self, number):
        """Starts another node, that joins by all that are there."""
        join = [node.peer for node in self.nodes.values()]
        node = Node(self.directory / f"node{number}", number, join,
                    *self.arguments_of(number))
        node.env = self.env_of(number)
        self.nodes[number] = node
        node.start()
        return node

    def arguments_of(self, number):
        return self.arguments

    def env_of(self, number):
        return environment()

    def __getitem__(self, number):
        return self.nodes[number]

    def alive(self):
        return [node for node in self.nodes.values()
                if node.process and node.process.poll() is None]

    def any(self):
        return self.alive()[0]

    def status(self, node=None):
        return json.loads((node or self.any()).ok("cluster", "status", "--json"))

    def states(self, node=None):
        return {one["id"]: one["state"] for one in self.status(node)["nodes"]}

    def await_states(self, wanted, seconds=DEADLINE):
        def reached():
            states = self.states()
            return all(states.get(number) == state for number, state in wanted.items())
        wait_until(reached, f"the states {wanted}", seconds)

    def segments(self, topic, node=None):
        text = (node or self.any()).ok("cluster", "segments", topic, "--json")
        return json.loads(text)["partitions"]

    def leader(self, topic, partition=0, node=None):
        """The number of the node that writes the partition, once there is one."""
        def leads():
            return self.segments(topic, node)[partition]["leader"]
        return wait_until(leads, f"a leader of {topic}/{partition}")

    def await_health(self, status="ok", node=None):
        def healthy():
            done = (node or self.any()).run("cluster", "health", "--json")
            return done.stdout and json.loads(done.stdout)["status"] == status
        wait_until(healthy, f"health {status}")

    def stop(self):
        """All at once, as a machine room goes; the exit statuses."""
        for node in self.alive():
            node.process.send_signal(signal.SIGTERM)
        return {node.number: node.await_end() for node in self.nodes.values()}

    def start(self):
        """All again: none is ready before a majority is there."""
        for node in self.nodes.values():
            node.begin()
        for node in self.nodes.values():
            node.await_ready()

    def close(self):
        for node in self.nodes.values():
            node.close()


class ClusterTest(unittest.TestCase):
    """A directory and a cluster of three for each test."""

    nodes, arguments, kind = 3, (), Cluster

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="walrus-cluster-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.cluster = self.kind(self.directory, self.nodes, self.arguments)
        self.addCleanup(self.cluster.close)
        self.addCleanup(self.tell_logs)

    def tell_logs(self):
        """What the nodes logged, where the test has failed."""
        result = self._outcome.result
        if all(test is not self for test, _ in [*result.failures, *result.errors]):
            return
        for node in self.cluster.nodes.values():
            print(f"--- node {node.number}", file=sys.stderr)
            print(node.error_text()[-6000:], file=sys.stderr)

    def path(self, name):
        return os.path.join(self.directory, name)


class SmallDiskTest(ClusterTest):
    """Node 2 stands on a small file system of its own (root)."""
    free_min = None  # bytes that are left when it counts as full

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="walrus-cluster-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.mount = self.path("node2")
        os.mkdir(self.mount)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={200 << 20}", "tmpfs",
                               self.mount], capture_output=True, check=False)
        if done.returncode:
            self.skipTest(f"mount: {done.stderr.decode().strip()}")
        self.addCleanup(subprocess.run, ["umount", self.mount], check=True)
        self.cluster = Cluster(self.directory, 3, [
            "--set", "log.shards=1", "--set", f"log.journal_bytes_max={16 << 20}",
            "--set", f"limits.disk_free_bytes_min={self.free_min}"])
        self.addCleanup(self.cluster.close)
        self.addCleanup(self.tell_logs)
