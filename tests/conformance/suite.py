"""What the parts of the conformance run share: the tally, the server under test, places."""

import contextlib
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "tests/cluster"), str(ROOT / "tools/peers")]

import kafka_node  # noqa: E402
import nodes  # noqa: E402
import walrus  # noqa: E402

OUT = ROOT / "build/conformance"
EXCLUSIONS = tomllib.loads((HERE / "exclusions.toml").read_text())


class Tally:
    """What became of each case. Cases that were asked for by name are the only ones that count."""

    def __init__(self, against, only):
        self.against, self.only = against, only
        self.counts = {"PASS": 0, "FAIL": 0, "SKIP": 0}
        self.failed = []

    def wanted(self, name):
        return not self.only or any(re.match(pattern, name) for pattern in self.only)

    def excluded(self, part, name):
        """Why a case is not tried; None: it is. Kafka has it all."""
        if self.against == "kafka":
            return None
        for pattern, reason in EXCLUSIONS.get(part, {}).items():
            if re.fullmatch(pattern, name):
                return reason
        return None

    def add(self, outcome, name, reason="", seconds=None):
        if not self.wanted(name):
            return
        self.counts[outcome] += 1
        took = f" ({seconds:.0f} s)" if seconds is not None else ""
        print(f"{outcome} {name}{took}{': ' + reason if reason else ''}", flush=True)
        if outcome == "FAIL":
            self.failed.append(name)

    def collect(self, part, words, env=None, timeout=900):
        """Runs a script of cases, which prints lines as these; adds them. A script that ends
        without a word, or with an error behind its last one, has failed as a whole."""
        began, seen = time.monotonic(), 0
        log = OUT / f"{part}.log"
        with open(log, "wb") as errors:
            process = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=errors, text=True, env=env)
            with contextlib.ExitStack() as stack:
                stack.callback(process.wait)
                stack.callback(process.kill)
                for line in process.stdout:
                    match = re.match(r"(PASS|FAIL|SKIP) (\S+?):?(?: (.*))?$", line.rstrip())
                    if match:
                        seen += 1
                        self.add(match[1], match[2], match[3] or "")
                    if time.monotonic() - began > timeout:
                        break
                else:
                    process.wait(60)
        if process.returncode not in (0, 1) or not seen:
            self.add("FAIL", part, f"ended with {process.returncode}, {seen} cases; see {log}")


class RackedCluster(nodes.Cluster):
    """Each node in a rack of its own, RACK1 and so on."""

    def arguments_of(self, number):
        return [*self.arguments, "--set", f"node.rack=RACK{number}"]


@contextlib.contextmanager
def cluster(against, *settings, user=None):
    """Three nodes that are one cluster, each in a rack of its own; the first one, for clients to
    begin with. `settings` and `user` as of server()."""
    with tempfile.TemporaryDirectory(prefix="walrus-conformance-") as directory:
        if against == "kafka":
            with kafka_cluster(pathlib.Path(directory)) as first:
                yield first
            return
        made = RackedCluster(directory,
                             arguments=[word for one in settings for word in ("--set", one)])
        try:
            if user:
                made[1].ok("user", "add", user[0], "--new-password-file", "-",
                           input=user[1].encode() + b"\n")
            yield made[1]
            if len(made.alive()) != len(made.nodes):
                raise AssertionError("a node ended by itself")
        finally:
            made.close()


@contextlib.contextmanager
def kafka_cluster(directory):
    selector = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
    members = kafka_node.cluster(directory, num_partitions=4, replica_selector_class=selector,
                                 heap="512m")
    try:
        for number, member in members.items():
            member.more["broker.rack"] = f"RACK{number}"
            member.begin()
        for member in members.values():
            member.await_ready()
        yield members[1]
    finally:
        for member in members.values():
            member.close()


@contextlib.contextmanager
def server(against, *settings, user=None):
    """A server with an empty directory and four partitions by default. Groups wait a moment for
    more members before they begin, because some tests expect their first two to begin together.
    `settings` and `user`, a name and a password, are Walrus's."""
    with tempfile.TemporaryDirectory(prefix="walrus-conformance-") as directory:
        if against == "kafka":
            node = kafka_node.KafkaNode(pathlib.Path(directory) / "kafka", num_partitions=4,
                                        group_initial_rebalance_delay_ms=500)
        else:
            settings = ("kafka.partitions_default=4", "kafka.group_initial_delay_ms=500", *settings)
            node = walrus.Server(pathlib.Path(directory) / "data",
                                 *(word for one in settings for word in ("--set", one)))
            if user:
                done = walrus.walrus("user", "add", user[0], "--data-dir", node.directory,
                                     "--new-password-file", "-", input=user[1].encode() + b"\n")
                if done.returncode:
                    raise AssertionError(f"user add: {done.stderr.decode()}")
        node.start()
        try:
            yield node
            if node.process.poll() is not None:
                raise AssertionError(f"the server ended by itself: {node.process.returncode}")
        finally:
            node.close()
