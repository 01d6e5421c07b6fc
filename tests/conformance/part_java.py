"""Kafka's own client (KafkaClients.java) and command-line tools, each with its output checked."""

import pathlib
import re
import subprocess
import tempfile
import time

import peers
import suite

TOOLS = {
    "topics": "org.apache.kafka.tools.TopicCommand",
    "configs": "org.apache.kafka.tools.ConfigCommand",
    "groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "list-groups": "org.apache.kafka.tools.GroupsCommand",
    "console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "cluster": "org.apache.kafka.tools.ClusterTool",
    "leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
    "reassign": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "producer-perf": "org.apache.kafka.tools.ProducerPerformance",
    "consumer-perf": "org.apache.kafka.tools.ConsumerPerformance",
    "end-to-end": "org.apache.kafka.tools.EndToEndLatency",
    "verifiable-producer": "org.apache.kafka.tools.VerifiableProducer",
    "verifiable-consumer": "org.apache.kafka.tools.VerifiableConsumer",
    "transactions": "org.apache.kafka.tools.TransactionsCommand",
}
QUICK = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
SECONDS = 120


class Shell:
    """Runs tools against one server."""

    def __init__(self, address, directory):
        self.address = address
        self.directory = pathlib.Path(directory)

    def words(self, tool, *arguments):
        return peers.java(TOOLS[tool], *arguments, heap="256m", options=QUICK)

    def run(self, tool, *arguments, input="", status=0, at="--bootstrap-server"):
        """Its output, both kinds; the exit status must be the one given."""
        place = (at, self.address) if at else ()
        done = subprocess.run(self.words(tool, *place, *arguments), input=input,
                              capture_output=True, text=True, timeout=SECONDS)
        text = done.stdout + done.stderr
        if done.returncode != status:
            raise AssertionError(f"{tool} {arguments}: status {done.returncode}: {text[-500:]}")
        return text

    def expect(self, pattern, tool, *arguments, **options):
        text = self.run(tool, *arguments, **options)
        if not re.search(pattern, text, re.M):
            raise AssertionError(f"{tool}: {pattern!r} is not in {text[-700:]!r}")
        return text

    def file(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return str(path)


def topics(shell):
    shell.expect("Created topic one", "topics", "--create", "--topic", "one", "--partitions", "2",
                 "--config", "retention.ms=60000")
    shell.expect("^one$", "topics", "--list")
    shell.expect(r"Topic: one\s.*PartitionCount: 2\s+ReplicationFactor: 1", "topics",
                 "--describe", "--topic", "one")
    shell.run("topics", "--alter", "--topic", "one", "--partitions", "4")
    text = shell.run("topics", "--describe", "--topic", "one")
    assert len(re.findall(r"Partition: \d+\s+Leader: 1\s+Replicas: 1\s+Isr: 1", text)) == 4, text
    assert "retention.ms=60000" in text, text
    shell.expect("TopicExistsException", "topics", "--create", "--topic", "one", status=1)
    shell.expect("larger than|replication factor", "topics", "--create", "--topic", "three",
                 "--replication-factor", "3", status=1)
    shell.run("topics", "--create", "--topic", "one", "--if-not-exists")
    shell.expect(r"\A\s*\Z", "topics", "--describe", "--unavailable-partitions")
    shell.expect(r"\A\s*\Z", "topics", "--describe", "--under-replicated-partitions")
    shell.run("topics", "--delete", "--topic", "one")
    shell.expect("does not exist", "topics", "--describe", "--topic", "one", status=1)


def console(shell):
    shell.run("topics", "--create", "--topic", "console")
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        shell.run("console-producer", "--topic", "console", "--compression-codec", codec,
                  "--reader-property", "parse.key=true", "--reader-property",
                  "parse.headers=true", input=f"h:1\t{codec}\tvalue of {codec}\n")
    text = shell.run("console-consumer", "--topic", "console", "--from-beginning",
                     "--max-messages", "5", "--timeout-ms", "30000",
                     "--formatter-property", "print.key=true",
                     "--formatter-property", "print.headers=true",
                     "--formatter-property", "print.offset=true")
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        assert re.search(rf"Offset:\d\s+h:1\s+{codec}\s+value of {codec}", text), text
    # It reads to the end, and then waits.
    shell.expect("TimeoutException", "console-consumer", "--topic", "console", "--partition", "0",
                 "--offset", "0", "--timeout-ms", "3000")


def groups(shell):
    shell.run("topics", "--create", "--topic", "grouped", "--partitions", "1")
    shell.run("console-producer", "--topic", "grouped", input="a\nb\nc\n")
    shell.run("console-consumer", "--topic", "grouped", "--group", "readers", "--from-beginning",
              "--max-messages", "3", "--timeout-ms", "30000")
    shell.expect("^readers$", "groups", "--list")
    shell.expect(r"readers\s+Empty|readers\s+Classic\s+Empty", "groups", "--list", "--state")
    shell.expect(r"readers\s+grouped\s+0\s+3\s+3\s+0", "groups", "--describe", "--group",
                 "readers")
    shell.expect(r"readers\s.*Empty\s+0", "groups", "--describe", "--group", "readers", "--state")
    for where, offset in (("--to-earliest", 0), ("--to-latest", 3), ("--to-offset=1", 1),
                          ("--shift-by=1", 2), ("--to-datetime=2020-01-01T00:00:00.000", 0)):
        shell.expect(rf"readers\s+grouped\s+0\s+{offset}\b", "groups", "--reset-offsets",
                     "--group", "readers", "--topic", "grouped", *where.split("="), "--execute")
    shell.expect("Successful", "groups", "--delete-offsets", "--group", "readers", "--topic",
                 "grouped")
    shell.expect("Deletion of requested.*successful", "groups", "--delete", "--group", "readers")
    shell.expect("GroupIdNotFoundException|not exist|not found", "groups", "--delete", "--group",
                 "readers", status=0)
    shell.expect("GROUP", "list-groups", "--list")


def configs(shell):
    shell.run("topics", "--create", "--topic", "configured")
    shell.expect("Completed updating", "configs", "--alter", "--topic", "configured",
                 "--add-config", "retention.ms=120000,cleanup.policy=[compact,delete]")
    text = shell.run("configs", "--describe", "--topic", "configured")
    assert "retention.ms=120000" in text and "compact" in text, text
    text = shell.run("configs", "--describe", "--topic", "configured", "--all")
    assert "max.message.bytes=" in text and "segment.bytes=" in text, text
    shell.run("configs", "--alter", "--topic", "configured", "--delete-config", "retention.ms")
    text = shell.run("configs", "--describe", "--topic", "configured")
    assert "retention.ms=120000" not in text, text
    shell.expect("nknown|nvalid", "configs", "--alter", "--topic", "configured", "--add-config",
                 "no.such.setting=1", status=1)
    shell.expect("num.partitions=4", "configs", "--describe", "--broker", "1", "--all")


def offsets(shell):
    shell.run("topics", "--create", "--topic", "counted", "--partitions", "1")
    shell.run("console-producer", "--topic", "counted", input="".join(f"{i}\n" for i in range(9)))
    shell.expect("^counted:0:9$", "get-offsets", "--topic", "counted")
    shell.expect("^counted:0:0$", "get-offsets", "--topic", "counted", "--time", "earliest")
    shell.expect(r"^counted:0:\d$", "get-offsets", "--topic", "counted", "--time",
                 "max-timestamp")
    shell.expect("^counted:0:0$", "get-offsets", "--topic", "counted", "--time", "1000")
    plan = shell.file("delete.json", '{"version": 1, "partitions": '
                      '[{"topic": "counted", "partition": 0, "offset": 5}]}')
    shell.expect("partition: counted-0.*low_watermark: 5", "delete-records",
                 "--offset-json-file", plan)
    shell.expect("^counted:0:5$", "get-offsets", "--topic", "counted", "--time", "earliest")
    plan = shell.file("delete.json", '{"version": 1, "partitions": '
                      '[{"topic": "counted", "partition": 0, "offset": 50}]}')
    shell.expect("out of range|OffsetOutOfRange|error", "delete-records", "--offset-json-file",
                 plan)


def node(shell):
    shell.run("topics", "--create", "--topic", "placed", "--partitions", "2")
    shell.expect('"partition":"?placed-1', "log-dirs", "--describe", "--topic-list", "placed")
    text = shell.run("api-versions")
    for name in ("Produce(0): 0 to", "Fetch(1): 4 to", "Metadata(3): 0 to", "CreateTopics(19)"):
        assert name in text, text
    shell.expect("Cluster ID: ", "cluster", "cluster-id", "--bootstrap-server", shell.address,
                 at=None)
    shell.expect("already elected", "leader-election", "--election-type", "preferred", "--topic",
                 "placed", "--partition", "0")
    shell.expect("No partition reassignments found", "reassign", "--list")


def performance(shell):
    shell.run("topics", "--create", "--topic", "perf", "--partitions", "2")
    shell.expect("20000 records sent", "producer-perf", "--topic", "perf", "--num-records",
                 "20000", "--record-size", "512", "--throughput", "-1", "--producer-props",
                 f"bootstrap.servers={shell.address}", "acks=all", at=None)
    shell.expect(r", 20000,", "consumer-perf", "--topic", "perf", "--num-records", "20000",
                 "--timeout", "60000")
    shell.expect("Percentiles", "end-to-end", "--topic", "perf", "--num-records", "100",
                 "--producer-acks", "all", "--record-size", "64")


def verifiable(shell):
    shell.run("topics", "--create", "--topic", "verified", "--partitions", "1")
    text = shell.run("verifiable-producer", "--topic", "verified", "--max-messages", "1000")
    assert '"acked":1000' in text, text[-500:]
    text = shell.run("verifiable-consumer", "--topic", "verified", "--group-id", "verifiers",
                     "--max-messages", "1000", "--reset-policy", "earliest")
    assert '"name":"records_consumed"' in text and '"success":true' in text, text[-500:]


def transactions(shell):
    shell.run("transactions", "list")


CASES = (topics, console, groups, configs, offsets, node, performance, verifiable, transactions)


def run_tools(tally, address):
    for function in CASES:
        name = f"tools.{function.__name__}"
        why = tally.excluded("java", name)
        if why:
            tally.add("SKIP", name, why)
        elif tally.wanted(name):
            began = time.monotonic()
            with tempfile.TemporaryDirectory() as directory:
                try:
                    function(Shell(address, directory))
                    outcome, text = "PASS", ""
                except (AssertionError, subprocess.TimeoutExpired) as error:
                    outcome, text = "FAIL", " ".join(str(error).split())[:600]
            tally.add(outcome, name, text, time.monotonic() - began)


def cases(tally):
    jars = peers.kafka_jars()
    with suite.server(tally.against) as server:
        tally.collect("java-client", ["java", *QUICK, "-cp", f"{jars}/*",
                                      suite.HERE / "KafkaClients.java", server.kafka])
    with suite.server(tally.against) as server:
        run_tools(tally, server.kafka)
