#!/usr/bin/env python3
"""A real Kafka to compare with: one node, or a cluster of them, KRaft, loopback; what `up` starts
has its data below build/kafka.

usage: kafka_node.py up [--port 29092] [--set KEY=VALUE]... [--fresh]
       kafka_node.py down
`up` prints the address when the node answers. `down` ends the process that `up` started, and
no other.
"""

import argparse
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

import peers

HOME = peers.ROOT / "build/kafka"
START_SECONDS = 120
LOGGING = """\
Configuration:
  Appenders:
    File:
      name: file
      fileName: "%s"
      append: false
      PatternLayout: {pattern: "%%d %%p %%m (%%c)%%n"}
  Loggers:
    Root: {level: INFO, AppenderRef: {ref: file}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def quiet_ports(count):
    """Ports that are free, and below those that the kernel gives to outgoing connections: nobody
    takes one until the node is there, which takes long."""
    sockets = []
    for port in random.sample(range(20_000, 32_000), 1_000):
        try:
            sockets.append(socket.create_server(("127.0.0.1", port)))
        except OSError:
            continue
        if len(sockets) == count:
            break
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def settings(directory, port, controller, more):
    """A single node's. Internal topics have one copy, groups begin at once; else the defaults."""
    return {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": directory / "data",
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        **more,
    }


class KafkaNode:
    """A node in a directory of its own. Whoever starts it stops it."""

    nodes = 1  # of its cluster

    def __init__(self, directory=HOME, port=0, heap="1g", options=(), **more):
        self.directory = pathlib.Path(directory)
        self.port = port or free_port()
        self.kafka = f"127.0.0.1:{self.port}"
        self.heap, self.options = heap, options
        self.more = {name.replace("_", "."): value for name, value in more.items()}
        self.process = None

    def prepare(self):
        """Configuration and an empty, formatted data directory."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        self.configure()
        self.run_tool("kafka.tools.StorageTool", "format", *self.format_options, "-t",
                      "V2FscnVzIGNvbXBhcmVzIQ", "-c", self.properties)

    format_options = ("--standalone",)

    @property
    def properties(self):
        return self.directory / "server.properties"

    def configure(self):
        values = self.settings()
        self.properties.write_text("".join(f"{k}={v}\n" for k, v in values.items()))
        (self.directory / "log4j2.yaml").write_text(LOGGING % (self.directory / "server.log"))

    def settings(self):
        return settings(self.directory, self.port, free_port(), self.more)

    def java(self, main, *arguments):
        logging = f"-Dlog4j2.configurationFile={self.directory / 'log4j2.yaml'}"
        return peers.java(main, *arguments, heap=self.heap, options=(*self.options, logging))

    def run_tool(self, main, *arguments):
        done = subprocess.run(self.java(main, *arguments), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"{main}: {done.stdout}{done.stderr}")

    def start(self):
        self.begin()
        return self.await_ready()

    def begin(self):
        """Starts it; await_ready() has to follow."""
        if not self.properties.exists():
            self.prepare()
        with open(self.directory / "output.log", "ab") as out:
            self.process = subprocess.Popen(
                self.java("kafka.Kafka", self.properties), stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, start_new_session=True)

    def await_ready(self):
        """Until it answers, and names all nodes of its cluster."""
        end = time.monotonic() + START_SECONDS
        while not answers(self.port, self.nodes):
            if self.process.poll() is not None or time.monotonic() > end:
                self.close()
                raise AssertionError(f"Kafka did not start, see {self.directory}/output.log")
            time.sleep(0.1)
        return self

    def stop(self):
        """SIGTERM, as an operator would; then its end."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60) if self.process else None

    def close(self):
        """Whatever became of it, nothing is left of it."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class KafkaMember(KafkaNode):
    """One of a cluster: broker and controller, as each of them."""

    format_options = ()

    def __init__(self, directory, number, voters, **more):
        super().__init__(directory, **more)
        self.number, self.voters, self.nodes = number, voters, len(voters)

    def settings(self):
        controller = self.voters[self.number].rsplit(":", 1)[1]
        values = settings(self.directory, self.port, controller, {})
        copies = min(3, self.nodes)
        del values["controller.quorum.bootstrap.servers"]
        return {
            **values,
            "node.id": self.number,
            "controller.quorum.voters": ",".join(
                f"{number}@{address}" for number, address in self.voters.items()),
            "default.replication.factor": copies,
            "min.insync.replicas": copies // 2 + 1,
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": copies // 2 + 1,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": copies // 2 + 1,
            **self.more,
        }


def cluster(directory, nodes=3, **options):
    """Nodes of one cluster, by number, not started yet: begin() all, then await_ready() each."""
    ports = quiet_ports(2 * nodes)
    voters = {number: f"127.0.0.1:{ports.pop()}" for number in range(1, nodes + 1)}
    return {number: KafkaMember(pathlib.Path(directory) / f"node{number}", number, voters,
                                port=ports.pop(), **options) for number in voters}


def answers(port, nodes=1):
    """Whether a Metadata request (version 1, no topics) names a controller and so many nodes."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.settimeout(5)
            connection.sendall(struct.pack(">ihhihi", 14, 3, 1, 1, -1, 0))
            size = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))[0]
            answer = connection.recv(size, socket.MSG_WAITALL)
    except (OSError, struct.error):
        return False
    brokers = struct.unpack_from(">i", answer, 4)[0]
    controller, topics = struct.unpack(">ii", answer[-8:])
    return brokers == nodes and controller >= 0 and topics == 0


# --- up and down ------------------------------------------------------------------------------

def begun(pid):
    """When a process began, in clock ticks since boot: with the number it names one process. None:
    there is none, or only what its parent has not collected."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def remembered():
    """The process that `up` started, if it is still there."""
    try:
        pid, start = (HOME / "pid").read_text().split()
    except (OSError, ValueError):
        return None
    return int(pid) if begun(pid) == start else None


def up(port, more, fresh):
    if remembered():
        sys.exit("./dev kafka up: it is up already; ./dev kafka down ends it")
    if fresh:
        shutil.rmtree(HOME, ignore_errors=True)
    node = KafkaNode(HOME, port, **more)
    if (HOME / "data").exists():
        node.configure()
    else:
        node.prepare()
    node.start()
    (HOME / "pid").write_text(f"{node.process.pid} {begun(node.process.pid)}\n")
    print(f"kafka {peers.VERSIONS['maven']['kafka']} ready bootstrap={node.kafka} "
          f"data_dir={HOME.relative_to(peers.ROOT)}/data pid={node.process.pid}")


def down():
    pid = remembered()
    if not pid:
        sys.exit("./dev kafka down: none is up")
    os.kill(pid, signal.SIGTERM)
    start, end = begun(pid), time.monotonic() + 60
    while begun(pid) == start and time.monotonic() < end:
        time.sleep(0.1)
    if begun(pid) == start:
        os.kill(pid, signal.SIGKILL)
    (HOME / "pid").unlink()
    print(f"ended process {pid}")


def main():
    parser = argparse.ArgumentParser(prog="./dev kafka", description=__doc__.split("\n")[0])
    parser.add_argument("verb", choices=["up", "down"])
    parser.add_argument("--port", type=int, default=29092)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="a setting of the node beside its defaults")
    parser.add_argument("--fresh", action="store_true", help="begin with an empty data directory")
    args = parser.parse_args()
    try:
        if args.verb == "down":
            return down()
        return up(args.port, dict(word.split("=", 1) for word in args.set), args.fresh)
    except (peers.Missing, AssertionError) as error:
        sys.exit(f"./dev kafka: {error}")


if __name__ == "__main__":
    main()
