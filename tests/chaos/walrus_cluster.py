"""`walrus serve` nodes as real processes, each on a host and a disk of its own: what nemesis.py and
disks.py do to any cluster. Of one thread.
"""

import contextlib
import json
import pathlib
import signal
import socket
import subprocess
import sys
import time

from cluster import DEADLINE
from disks import MIB, ClusterOnDisks

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
from walrus import BINARY, Native, environment  # noqa: E402

FREE_BYTES_MIN = 16 * MIB  # with less a node refuses to append
NATIVE, KAFKA, PEER, ADMIN = 9091, 9092, 9093, 9094
COPIES = 3  # of a topic that asks for none
ANSWER_SECONDS = 20  # a client waits longer than a node, which gives up after 10 s
ASK_SECONDS = 2  # who leads; a node that does not answer is not asked again at once
# Journals that wrap, segments that roll, on disks that are small.
SETTINGS = {"log.journal_bytes_max": 32 * MIB, "log.maintenance_interval_ms": 200,
            "limits.disk_free_bytes_min": FREE_BYTES_MIN, "kafka.group_initial_delay_ms": 200}


class WalrusCluster(ClusterOnDisks):
    def __init__(self, network, said, work, nodes, disk_bytes, journals):
        super().__init__(network, said, work, nodes, disk_bytes)
        self.settings = {**SETTINGS, "log.shards": journals}
        self.asked = 0  # how often who leads
        self.topic, self.partitions = "", 0  # whose leaders are meant
        self.topics = []  # that are written
        self.walrus("cluster", "init", "--data-dir", self.data(1), "--node-id", 1)

    # --- what the program is ---

    def walrus(self, *words):
        done = subprocess.run([BINARY, *map(str, words)], capture_output=True, text=True,
                              check=False, env=environment())
        if done.returncode:
            raise AssertionError(f"walrus {words[0]}: status {done.returncode}: {done.stderr}")
        return done.stdout

    def addr(self, node, port=NATIVE):
        return f"{self.network.address(node)}:{port}"

    def servers(self):
        return ",".join(self.addr(node, KAFKA) for node in self.nodes)

    def rack(self, node):
        return f"rack{node}"

    def command(self, node):
        words = [BINARY, "serve", "--insecure", "--data-dir", self.data(node), "--node-id", node,
                 "--listen", self.addr(node), "--kafka-listen", self.addr(node, KAFKA),
                 "--peer-listen", self.addr(node, PEER), "--admin-listen", self.addr(node, ADMIN),
                 "--join", ",".join(self.addr(other, PEER) for other in self.nodes
                                    if other != node)]
        for name, value in {**self.settings, "node.rack": self.rack(node)}.items():
            words += ["--set", f"{name}={value}"]
        return self.booted(node, words)

    def ask_to_end(self, node):
        self.processes[node].send_signal(signal.SIGTERM)

    # --- what is asked ---

    def native(self, node, seconds=ANSWER_SECONDS):
        connection = Native(self.addr(node), seconds)
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def ask(self, node, request):
        """The reply; None if there was none."""
        with contextlib.suppress(OSError, EOFError), self.native(node, ASK_SECONDS) as connection:
            return connection.ask(request).decode()
        return None

    def ask_any(self, request):
        """What the first of the running nodes says that does not refuse."""
        end, reply = time.monotonic() + DEADLINE, None
        while time.monotonic() < end:
            for node in self.running():
                reply = self.ask(node, request)
                if reply is not None and not reply.startswith("ERR "):
                    return reply
        raise AssertionError(f"nobody answers {request}: {reply}")

    def leader(self):
        """In turn of each partition of the topic, and of the metadata."""
        turn = self.asked % (self.partitions + 1)
        self.asked += 1
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            if turn == self.partitions:
                node = json.loads(self.ask_any("CLUSTER status"))["controller"]
            else:
                told = json.loads(self.ask_any(f"CLUSTER segments {self.topic}"))
                node = told["partitions"][turn]["leader"]
            if node in self.running():
                return node
        raise AssertionError(f"nobody leads {self.topic}/{turn}")

    def states_of_nodes(self):
        told = json.loads(self.ask_any("CLUSTER status"))
        return {one["id"]: one["state"] for one in told["nodes"]}

    def await_active(self):
        self._await(lambda: self.states_of_nodes() == dict.fromkeys(self.nodes, "active"),
                    "all nodes are active")

    def await_whole(self):
        """Every partition writes to as many copies as it should have: a segment that was opened
        while a node was away has one less, and waits when another of its nodes goes."""
        self._await(lambda: all(self.is_whole(node, topic) for topic in self.topics
                                for node in self.nodes), "all copies are written again")

    def is_whole(self, node, topic):
        """As this node knows it, which may have been the one that was away."""
        reply = self.ask(node, f"CLUSTER segments {topic}")
        if reply is None or reply.startswith("ERR "):
            return False
        tails = [one["segments"][-1] for one in json.loads(reply)["partitions"] if one["segments"]]
        return all(tail["state"] == "open" and len(tail["replicas"]) == COPIES for tail in tails)

    def _await(self, condition, what):
        end = time.monotonic() + DEADLINE
        while not condition():
            if time.monotonic() > end:
                told = self.ask_any("CLUSTER health")
                raise AssertionError(f"not within {DEADLINE} s: {what}; {told[:2000]}")
            time.sleep(0.05)
