"""The clusters that are measured, with one face: three nodes of Walrus, or of Kafka, as processes
on loopback, in an empty directory. And the clients that watch them."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / folder) for folder in
                ("tests/cluster", "tests/e2e", "tools/peers", "tests/conformance")]

import kafka_node  # noqa: E402
import nodes  # noqa: E402
import raw_socket  # noqa: E402
import walrus  # noqa: E402

import acks  # noqa: E402

LOAD = ROOT / "build/release/bin/walrus_bench_kafka"
SLOW_SYNC = ROOT / "build/release/bin/walrus_slow_sync.so"
DATA = ROOT / "build/bench/cluster-data"
COPIES = 3
SECONDS = 180  # for what a cluster should do soon, on a machine that is busy
# Between two looks: who looks all the time at all partitions takes a core from what is measured.
PAUSE = 0.25
# The heap and collector of Kafka's own start script.
KAFKA_OPTIONS = ("-server", "-Xms1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
                 "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent")


def await_all(condition, what):
    return walrus.wait_until(condition, what, SECONDS, PAUSE)


class Cluster:
    """Three nodes that are there. What is asked goes to one that runs."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.away = set()  # killed or stopped
        self.topics = []

    # --- what a program is ---

    nodes = {}  # number -> what has .kafka and .process

    def begin(self, number):
        raise NotImplementedError

    def await_ready(self, number):
        self.nodes[number].await_ready()

    def await_settled(self):
        """Every node is in it again and nothing is left to be repaired."""
        raise NotImplementedError

    # --- asked ---

    def running(self):
        return [node for number, node in self.nodes.items() if number not in self.away]

    @property
    def bootstrap(self):
        return ",".join(node.kafka for node in self.nodes.values())

    def create_topic(self, name, partitions, settings=()):
        with raw_socket.connect(self.running()[0].kafka) as connection:
            raw_socket.ask_for_topic(connection, name, partitions, COPIES, dict(settings))
        self.topics.append(name)
        await_all(lambda: len(self.leaders(name)) == partitions
                  and min(self.leaders(name).values()) > 0,
                  f"leaders of {partitions} partitions of {name}")

    def leaders(self, topic):
        """Partition -> number of the node that leads it, -1 for none, as one node knows it."""
        return {partition: leader for partition, (leader, _) in self.partitions(topic).items()}

    def partitions(self, topic, node=None):
        """Partition -> its leader, and how many replicas are in sync."""
        with raw_socket.connect((node or self.running()[0]).kafka) as connection:
            return raw_socket.partitions(connection, topic)

    def led_by(self, topic, number):
        return {partition for partition, leader in self.leaders(topic).items() if leader == number}

    def await_balance(self, topic, share=0.6):
        """Until each node leads so much of its even share, as every node knows it."""
        def balanced():
            views = [self.partitions(topic, node) for node in self.running()]
            leaders = [leader for leader, _ in views[0].values()]
            least = share * len(leaders) / len(self.nodes)
            return all(view == views[0] for view in views) and \
                all(leaders.count(number) >= int(least) for number in self.nodes)
        await_all(balanced, f"leaders of {topic} on all nodes")

    # --- done to it ---

    def start(self, number):
        self.begin(number)
        self.await_ready(number)
        self.away.discard(number)

    def kill(self, number):
        """When it was done."""
        self.away.add(number)
        at = time.monotonic_ns()
        self.nodes[number].process.send_signal(signal.SIGKILL)
        self.nodes[number].process.wait()
        return at

    def stand_still(self, number):
        self.away.add(number)
        at = time.monotonic_ns()
        self.nodes[number].process.send_signal(signal.SIGSTOP)
        return at

    def go_on(self, number):
        self.nodes[number].process.send_signal(signal.SIGCONT)
        self.away.discard(number)

    def ask_to_end(self, number):
        """SIGTERM, and its end. When it was asked."""
        self.away.add(number)
        at = time.monotonic_ns()
        status = self.nodes[number].stop()
        if status not in (0, 143):  # of Java: the signal's
            raise RuntimeError(f"node {number} ended with status {status}")
        return at

    def close(self):
        for node in self.nodes.values():
            if node.process and node.process.poll() is None:
                node.process.send_signal(signal.SIGCONT)
            node.close()


class Walrus(Cluster):
    name = "walrus"

    def __init__(self, directory, slow=False, arguments=()):
        super().__init__(directory)
        self.delays, self.nodes = {}, {}
        done = walrus.walrus("cluster", "init", "--data-dir", self.directory / "node1",
                             "--node-id", 1)
        if done.returncode:
            raise RuntimeError(f"cluster init: {done.stderr}")
        for number in range(1, COPIES + 1):
            self.add(number, slow, arguments)
        walrus.wait_until(lambda: self.states() == ["active"] * COPIES, "three active nodes",
                          SECONDS)

    def states(self):
        return [node["state"] for node in (self.ask("cluster", "status") or {}).get("nodes", ())]

    def make_node(self, number, join, arguments):
        return nodes.Node(self.directory / f"node{number}", number, join, *arguments)

    def add(self, number, slow, arguments):
        node = self.make_node(number, [one.peer for one in self.nodes.values()], arguments)
        if slow:
            self.delays[number] = self.directory / f"delay{number}"
            self.slow_down(number, 0)
            node.env = walrus.environment(LD_PRELOAD=str(SLOW_SYNC),
                                          WALRUS_SLOW_SYNC=str(self.delays[number]))
        self.nodes[number] = node
        node.start()

    def slow_down(self, number, milliseconds):
        """From now on each sync of the node takes so much longer; of one that began as slow."""
        with open(self.delays[number], "r+b" if self.delays[number].exists() else "wb") as file:
            file.write(struct.pack("=i", milliseconds))

    def begin(self, number):
        node = self.nodes[number]
        if node.process and not node.process.stdout.closed:
            node.process.stdout.close()
        node.begin()

    def ask(self, *words):
        done = self.running()[0].run(*words, "--json", "--timeout-ms", "5000")
        return json.loads(done.stdout) if done.stdout else None

    def controller(self):
        def leads():
            told = self.ask("cluster", "status")
            return told and told.get("controller")
        return walrus.wait_until(leads, "a leader of metadata", SECONDS)

    def await_settled(self):
        await_all(lambda: (self.ask("cluster", "health") or {}).get("status") == "ok",
                  "a healthy cluster")

    def segments(self, topic):
        """Of each partition the first offset of each segment."""
        told = self.ask("cluster", "segments", topic)
        return {one["partition"]: [segment["base_offset"] for segment in one["segments"]]
                for one in told["partitions"]}

    @property
    def native(self):
        return ",".join(node.addr for node in self.nodes.values())


class Kafka(Cluster):
    name = "kafka"

    def __init__(self, directory):
        super().__init__(directory)
        # Retention is looked at as often as Walrus does.
        self.nodes = kafka_node.cluster(self.directory, COPIES, heap="1g", options=KAFKA_OPTIONS,
                                        log_retention_check_interval_ms=1000)
        for node in self.nodes.values():
            node.begin()
        for node in self.nodes.values():
            node.await_ready()

    def begin(self, number):
        self.nodes[number].begin()

    def await_settled(self):
        for number in self.nodes:
            self.await_ready(number)
        await_all(lambda: all(in_sync == COPIES for topic in self.topics
                              for _, in_sync in self.partitions(topic).values()),
                  "all replicas in sync")


@contextlib.contextmanager
def running(kind, **options):
    """A cluster of a kind in an empty directory, which goes with it."""
    directory = DATA / kind.name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    cluster = None
    try:
        cluster = kind(directory, **options)
        yield cluster
    except BaseException:
        keep_logs(cluster, directory)
        raise
    finally:
        if cluster:
            cluster.close()
        shutil.rmtree(directory, ignore_errors=True)


def keep_logs(cluster, directory):
    """What the nodes said, of a run that failed."""
    kept = DATA.parent / "cluster-logs"
    kept.mkdir(parents=True, exist_ok=True)
    for path in directory.glob("node*/*.log"):
        shutil.copy(path, kept / f"{directory.name}-{path.parent.name}-{path.name}")
    for number, node in (cluster.nodes if cluster else {}).items():
        if hasattr(node, "error_text"):
            (kept / f"{directory.name}-node{number}.log").write_text(node.error_text())
    print(f"  what the nodes said: {kept.relative_to(ROOT)}", flush=True)


# --- clients ----------------------------------------------------------------------------------

class Watch:
    """A client that writes by a schedule, and what it saw."""

    def __init__(self, client, address, topic, partitions, rate, record_bytes=100, silence_ms=0,
                 settings=()):
        self.client, self.acks = client, None
        path = DATA / f"{client}-{topic}.acks"
        path.unlink(missing_ok=True)
        self.said = tempfile.TemporaryFile("w+")  # librdkafka says much while nodes are away
        words = [LOAD, "watch", "--client", client, "--address", address, "--topic", topic,
                 "--partitions", partitions, "--rate", rate, "--record-bytes", record_bytes,
                 "--silence-ms", silence_ms, "--log", path]
        for setting in settings:
            words += ["-X", setting]
        self.process = subprocess.Popen([str(word) for word in words], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.said, text=True)
        try:
            self.expect("ready")
        except BaseException:
            self.close()
            raise
        self.acks = acks.Acks(path)

    def expect(self, word):
        line = self.process.stdout.readline()
        if line.strip() != word:
            raise RuntimeError(f"client {self.client}: {line!r} {self.complaint()}")

    def complaint(self):
        self.process.wait(SECONDS)
        self.said.seek(0)
        return self.said.read()[-1000:]

    def read(self):
        """Everything that was acknowledged since the last time."""
        with contextlib.suppress(BrokenPipeError):  # it has ended: expect() says why
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        self.expect("flushed")
        return self.acks.read()

    def end(self):
        """Waits for what is outstanding; the rest of what it saw."""
        out, _ = self.process.communicate(timeout=SECONDS)
        if self.process.returncode:
            raise RuntimeError(f"client {self.client}: {out!r} {self.complaint()}")
        return self.acks.read()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.said.close()
        if self.acks:
            self.acks.close()


@contextlib.contextmanager
def watching(client, address, topic, **options):
    watch = Watch(client, address, topic, **options)
    try:
        yield watch
    finally:
        watch.close()


# --- what the system knows of them ------------------------------------------------------------

def written_by(pid):
    """Bytes that a process made the kernel write to a device."""
    text = pathlib.Path(f"/proc/{pid}/io").read_text()
    return int(text.split("write_bytes:")[1].split()[0])


def device_written(directory):
    """Bytes written to the device below a directory, by anybody."""
    number = pathlib.Path(directory).stat().st_dev
    path = pathlib.Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/stat")
    return int(path.read_text().split()[6]) * 512
