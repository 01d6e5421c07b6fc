"""Kafka's own tools against three nodes that are one cluster: what they are told of it, and what of
its placement a client may ask for. Of Walrus alone."""

import json
import re
import sys
import tempfile
import time

import part_java
import peers
import suite

sys.path.insert(0, str(suite.ROOT / "tests/cluster"))
import nodes  # noqa: E402

NODES = (1, 2, 3)


def describe(shell, cluster):
    """DescribeCluster and Metadata: the same at every node."""
    told = set()
    for node in cluster.nodes.values():
        at = part_java.Shell(node.kafka, shell.directory)
        told.add(at.run("cluster", "cluster-id", "--bootstrap-server", node.kafka, at=None))
        text = at.run("cluster", "list-endpoints", "--bootstrap-server", node.kafka, at=None)
        for one in cluster.nodes.values():
            host, port = one.kafka.rsplit(":", 1)
            assert re.search(rf"^{one.number}\s+{re.escape(host)}\s+{port}\s+rack{one.number}\s",
                             text, re.M), text
    assert len(told) == 1, told
    text = shell.run("api-versions")
    for node in cluster.nodes.values():
        assert re.search(rf"^{re.escape(node.kafka)} \(id: {node.number} rack: rack{node.number}",
                         text, re.M), text


def topics(shell, cluster):
    shell.run("topics", "--create", "--topic", "placed", "--partitions", "3",
              "--replication-factor", "3")
    text = shell.run("topics", "--describe", "--topic", "placed")
    assert re.search(r"PartitionCount: 3\s+ReplicationFactor: 3", text), text
    for partition in range(3):
        cluster[1].ok("put", f"placed/{partition}", "x")
    text = shell.run("topics", "--describe", "--topic", "placed")
    found = re.findall(r"Partition: (\d)\s+Leader: (\d)\s+Replicas: (\S+)\s+Isr: (\S+)", text)
    leaders = {str(part["partition"]): str(part["leader"]) for part in cluster.segments("placed")}
    assert {partition: leader for partition, leader, _, _ in found} == leaders, (text, leaders)
    for _, leader, replicas, in_sync in found:
        assert sorted(replicas.split(",")) == sorted(in_sync.split(",")) == ["1", "2", "3"], text
        assert replicas.split(",")[0] == leader or leader in replicas, text
    shell.expect("larger than|replication factor", "topics", "--create", "--topic", "wide",
                 "--replication-factor", "4", status=1)
    shell.expect(r"\A\s*\Z", "topics", "--describe", "--under-replicated-partitions")


def plan(shell, name, replicas, partition=0, topic="placed"):
    return shell.file(name, json.dumps({"version": 1, "partitions": [
        {"topic": topic, "partition": partition, "replicas": list(replicas)}]}))


def reassign(shell, cluster):
    """What is there may be asked for; anything else the cluster chooses itself, and says so."""
    shell.expect("No partition reassignments found", "reassign", "--list")
    shell.expect("Successfully started", "reassign", "--execute", "--reassignment-json-file",
                 plan(shell, "same.json", NODES))
    shell.expect("is complete|complete", "reassign", "--verify", "--preserve-throttles",
                 "--reassignment-json-file", plan(shell, "same.json", NODES))
    shell.expect("the cluster places copies itself", "reassign", "--execute",
                 "--reassignment-json-file", plan(shell, "fewer.json", (1, 2)), status=1)
    shell.expect("nknown|not exist", "reassign", "--execute", "--reassignment-json-file",
                 plan(shell, "unknown.json", NODES, topic="nothing"), status=1)
    shell.expect("o active reassignments|No partition reassignments|no active", "reassign",
                 "--cancel", "--reassignment-json-file", plan(shell, "same.json", NODES))


def moves(shell, cluster):
    """A drain is seen as what it is: copies that go from one node to another."""
    cluster[1].ok("topic", "create", "moved", "--replication-factor", "2", "--set",
                  "segment_records_max=20")
    cluster[1].ok("produce", "moved", input=b"".join(b"%0200000d\n" % n for n in range(300)))
    leaves = cluster.segments("moved")[0]["segments"][0]["replicas"][0]
    other = next(node for node in cluster.nodes.values() if node.number != leaves)
    other.ok("cluster", "drain", leaves)
    at = part_java.Shell(other.kafka, shell.directory)
    seen, end = "", time.monotonic() + 60
    while cluster.states(other)[leaves] != "drained":
        text = at.run("reassign", "--list")
        if re.search(rf"moved-0: replicas: \S+\. adding: [1-3]\. removing: {leaves}\.", text):
            seen = text
        assert time.monotonic() < end, "the node is not drained"
    other.ok("cluster", "activate", leaves)
    cluster.await_states({number: "active" for number in NODES})
    cluster.await_health()
    if not seen:
        print("no copy was seen under way", flush=True)
    shell.expect("No partition reassignments found", "reassign", "--list")


def elect(shell, cluster):
    """A leader is not elected where there is one; where what only a lost node had is gone, an
    unclean election is the operator's word for it."""
    shell.expect("already elected", "leader-election", "--election-type", "preferred", "--topic",
                 "placed", "--partition", "0")
    shell.expect("nknownTopicOrPartition|not exist|not host", "leader-election", "--election-type",
                 "preferred", "--topic", "nothing", "--partition", "0", status=1)
    cluster[1].ok("topic", "create", "single", "--replication-factor", "1")
    cluster[1].ok("put", "single", "gone")
    lost = cluster.leader("single")
    other = next(node for node in cluster.nodes.values() if node.number != lost)
    at = part_java.Shell(other.kafka, shell.directory)
    cluster[lost].kill9()
    nodes.wait_until(lambda: not cluster.status(other)["nodes"][lost - 1]["alive"], "it is missed")
    other.ok("cluster", "remove", lost, "--force", "--yes")
    nodes.wait_until(lambda: json.loads(other.ok("cluster", "seal", "single", "--json"))["waiting"],
                     "it waits for an operator")
    at.expect("Successfully completed", "leader-election", "--election-type", "unclean", "--topic",
              "single", "--partition", "0")
    other.ok("put", "single", "after")
    assert other.ok("consume", "single", "--format", "%s ").split() == [b"after"]
    assert cluster.segments("single", other)[0]["losses"] == 1


CASES = (describe, topics, reassign, moves, elect)


class Racks(nodes.Cluster):
    def arguments_of(self, number):
        return ["--set", f"node.rack=rack{number}", *self.arguments]


def cases(tally):
    if tally.against == "kafka":
        return tally.add("SKIP", "cluster", "the tools are Kafka's own")
    peers.kafka_jars()
    with tempfile.TemporaryDirectory(prefix="walrus-conformance-") as directory:
        cluster = Racks(directory)
        try:
            run_cases(tally, cluster, directory)
        finally:
            cluster.close()


def run_cases(tally, cluster, directory):
    shell = part_java.Shell(",".join(node.kafka for node in cluster.nodes.values()), directory)
    for function in CASES:
        began = time.monotonic()
        try:
            function(shell, cluster)
            outcome, text = "PASS", ""
        except (AssertionError, part_java.subprocess.TimeoutExpired) as error:
            outcome, text = "FAIL", " ".join(str(error).split())[:600]
        tally.add(outcome, f"cluster.{function.__name__}", text, time.monotonic() - began)
