#!/usr/bin/env python3
"""Replicated state machines as processes: the example services on three nodes that are killed and
started again under load, strangers at their ports, and `walrus service status`."""

import errno
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from walrus import DEADLINE, SOURCE, environment, main, read_line, walrus

BUILD = pathlib.Path(os.environ.get("WALRUS_BUILD", SOURCE / "build/release"))


def binary(program):
    name = "walrus_faulty_service" if program == "faulty" else f"walrus_example_{program}"
    return str(BUILD / "bin" / name)


class Node:
    """One process of an example service."""

    def __init__(self, program, *words):
        self.words = [binary(program), *map(str, words)]
        self.process = None

    def start(self):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, env=environment())
        return self

    def wait_ready(self):
        line = read_line(self.process.stdout, DEADLINE)
        assert line.startswith("ready "), (line, self.error_text())
        return self

    def error_text(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def running(self):
        return self.process is not None and self.process.poll() is None

    def end(self, number=None):
        """By the end of its input, or by a signal; the exit status."""
        if self.process is None:
            return None
        if number is not None and self.running():
            self.process.send_signal(number)
        self.process.stdin.close()
        status = self.process.wait(DEADLINE)
        self.process.stdout.close()
        self.errors.close()
        self.process = None
        return status


class Client:
    """One session of an example's client: a command, its reply."""

    def __init__(self, program, members, flags=()):
        self.process = subprocess.Popen(
            [binary(program), *map(str, flags), "client", *members], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        line = self.process.stdout.readline().decode()
        assert line.startswith("session "), (line, self.process.stderr.read())

    def ask(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().decode().rstrip("\n")

    def end(self):
        self.process.stdin.close()
        self.process.wait(DEADLINE)
        self.process.stdout.close()
        self.process.stderr.close()


GIANT = b"WPP\x01\x04\x00\x00\x03" + b"\xff" * 4 + bytes(36)  # a frame of 4 GiB


def send_garbage(address):
    """What strangers may say; each of them is cut off, sooner or later."""
    host, port = address.split(":")
    for said in (b"", b"GET / HTTP/1.1\r\n\r\n", os.urandom(5000), GIANT, b"WPP\x01" * 99):
        with socket.create_connection((host, int(port)), DEADLINE) as stranger:
            stranger.settimeout(DEADLINE)
            try:
                stranger.sendall(said)
                stranger.shutdown(socket.SHUT_WR)
                while stranger.recv(4096):
                    pass
            except ConnectionError:
                pass
            except OSError as error:
                if error.errno != errno.ENOTCONN:
                    raise


class Service(unittest.TestCase):
    program = "kv"

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="walrus-service-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        # Loopback is all of 127.0.0.0/8: addresses that nobody else has drawn.
        net = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}"
        self.addresses = {node: f"{net}.{node}:9093" for node in range(1, 6)}
        self.nodes = {}
        self.clients = []
        self.addCleanup(self.end_all)

    def end_all(self):
        for client in self.clients:
            client.process.kill()
            client.end()
        for node in self.nodes.values():
            node.end(signal.SIGKILL)

    def flags(self, _node):
        """Of a node's and of a client's command (0)."""
        return ()

    def node(self, number, directory=None, founders=None):
        return Node(self.program, *self.flags(number), "serve", number,
                    directory or self.directory, *(founders or self.founders))

    def start(self, founders=3):
        self.founders = [f"{node}={self.addresses[node]}" for node in range(1, founders + 1)]
        for node in range(1, founders + 1):
            self.nodes[node] = self.node(node).start()
        for node in self.nodes.values():
            node.wait_ready()
        return self

    def members(self):
        return [self.addresses[node] for node in self.nodes]

    def client(self, members=None):
        self.clients.append(Client(self.program, members or self.members(), self.flags(0)))
        return self.clients[-1]

    def status(self, node):
        done = walrus("service", "status", "--json", "--timeout-ms", 3000, *self.status_flags(),
                      addr=self.addresses[node])
        return json.loads(done.stdout) if done.stdout else None

    def status_flags(self):
        return ()

    def until(self, seen, what):
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            value = seen()
            if value:
                return value
        self.fail(f"not seen in time: {what}")

    def leader(self):
        def find():
            for node, process in self.nodes.items():
                if not process.running():
                    continue
                status = self.status(node)
                if status and status["role"] == "leader":
                    return node
            return None
        return self.until(find, "a leader")


class KeyValue(Service):
    def counted(self):
        """What was added so far, as a session of its own sees it."""
        if not hasattr(self, "reader"):
            self.reader = self.client()
        answer = self.reader.ask("?get n")
        return int(answer) if answer.isdigit() else 0

    def test_killed_leaders_lose_and_double_nothing(self):
        self.start()
        rounds, replies, failures = 4, [], []
        stop = threading.Event()

        def load(client):
            mine = []
            while not stop.is_set():
                reply = client.ask("add n 1")
                if not reply.isdigit():
                    failures.append(reply)
                    return
                mine.append(int(reply))
            replies.append(mine)

        clients = [self.client() for _ in range(3)]
        threads = [threading.Thread(target=load, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        try:
            for _ in range(rounds):
                before = self.counted()
                self.until(lambda: self.counted() > before + 20, "progress")
                node = self.leader()
                self.nodes[node].end(signal.SIGKILL)
                before = self.counted()
                self.until(lambda: self.counted() > before, "progress without it")
                self.nodes[node].start().wait_ready()
        finally:
            stop.set()
            for thread in threads:
                thread.join(DEADLINE)
        self.assertEqual(failures, [])
        everything = sorted(reply for mine in replies for reply in mine)
        # Each command was applied exactly once, and each client got the reply of its own.
        self.assertEqual(everything, list(range(1, len(everything) + 1)))
        for mine in replies:
            self.assertEqual(mine, sorted(mine))
        self.assertEqual(self.client().ask("?get n"), str(len(everything)))

    def test_a_restart_of_all_keeps_everything(self):
        self.start()
        client = self.client()
        for number in range(20):
            self.assertEqual(client.ask(f"put key{number} value {number}"), "ok")
        for node in self.nodes.values():
            node.end(signal.SIGKILL)
        for node in self.nodes.values():
            node.start()
        for node in self.nodes.values():
            node.wait_ready()
        self.assertEqual(client.ask("?get key7"), "value 7")
        self.assertEqual(client.ask("?size"), "20")
        for node in self.nodes.values():
            self.assertEqual(node.end(), 0)

    def test_a_newcomer_joins_by_any_member(self):
        self.start()
        self.client().ask("put a 1")
        self.nodes[4] = Node(self.program, "join", 4, self.directory + "/4", self.addresses[4],
                             *self.members())
        self.nodes[4].start().wait_ready()
        status = self.until(lambda: [s for s in [self.status(4)] if s and s["members"]],
                            "the newcomer among the members")[0]
        self.assertEqual(status["role"], "learner")
        self.assertEqual([m["voter"] for m in status["members"]], [True, True, True, False])
        lonely = Client(self.program, [self.addresses[4]])
        self.clients.append(lonely)
        self.assertEqual(lonely.ask("?get a"), "1")

    def test_strangers_are_refused_and_the_nodes_live(self):
        self.start()
        client = self.client()
        self.assertEqual(client.ask("put a 1"), "ok")
        send_garbage(self.addresses[1])
        # Another group: the same program with other founders at the same addresses.
        other = Node(self.program, "join", 5, self.directory + "/5", self.addresses[5],
                     self.addresses[1])
        lock = Node("lock", "join", 5, self.directory + "/5l", self.addresses[5],
                    self.addresses[1])
        lock.start()
        self.assertNotEqual(lock.process.wait(DEADLINE), 0)
        self.assertIn("this is the group 'kv', not 'lock'", lock.error_text())
        lock.end()
        self.assertEqual(other.start().wait_ready().end(), 0)
        too_large = client.ask("put b " + "x" * (1 << 20))
        self.assertRegex(too_large, "^error: a command of 10485.. bytes, at most 1048576$")
        self.assertEqual(client.ask("?get a"), "1")

    def test_off_loopback_needs_tls(self):
        node = Node(self.program, "serve", 1, self.directory, "1=192.0.2.1:9093")
        node.start()
        self.assertEqual(node.process.wait(DEADLINE), 1)
        self.assertIn("192.0.2.1:9093 is not a loopback address", node.error_text())
        node.end()


class Lock(Service):
    program = "lock"

    def test_tokens_rise_whatever_happens_to_the_leader(self):
        self.start()
        client = self.client()
        last = 0
        for number in range(4):
            reply = client.ask(f"acquire door owner{number} 600000")
            self.assertRegex(reply, r"^granted \d+$")
            token = int(reply.split()[1])
            self.assertGreater(token, last)
            self.assertEqual(client.ask("acquire door thief 1000"), f"held owner{number}")
            node = self.leader()
            self.nodes[node].end(signal.SIGKILL)
            self.assertEqual(client.ask("?holder door"), f"owner{number} {token}")
            self.assertEqual(client.ask(f"renew door {token} 600000"), "ok")
            self.assertEqual(client.ask(f"release door {last}"), "lost")
            self.assertEqual(client.ask(f"release door {token}"), "ok")
            self.assertEqual(client.ask(f"release door {token}"), "lost")
            self.nodes[node].start().wait_ready()
            last = token
        self.assertEqual(client.ask("?holder door"), "free")

    def test_a_lock_whose_time_is_over_goes_to_the_next(self):
        self.start(founders=1)
        client = self.client()
        first = int(client.ask("acquire door one 1").split()[1])
        reply = self.until(lambda: (lambda r: r.startswith("granted") and r)(
            client.ask("acquire door two 600000")), "the next one's turn")
        self.assertGreater(int(reply.split()[1]), first)
        self.assertEqual(client.ask(f"renew door {first} 1000"), "lost")


class Status(Service):
    def test_status_for_people_and_for_programs(self):
        self.start()
        leader = self.leader()
        status = self.status(leader)
        self.assertEqual(status["name"], "kv")
        self.assertEqual((status["self"], status["leader"], status["role"]),
                         (leader, leader, "leader"))
        self.assertEqual([member["id"] for member in status["members"]], [1, 2, 3])
        self.assertIsNone(status["failure"])
        text = walrus("service", "status", addr=self.addresses[leader]).stdout.decode()
        self.assertRegex(text, rf"(?m)^node {leader} is leader, term \d+, leader {leader}$")
        self.assertRegex(text, rf"(?m)^\s*3 +{self.addresses[3]} +yes")

    def test_nobody_there(self):
        done = walrus("service", "status", "--timeout-ms", 300, addr=self.addresses[1])
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr.decode(),
                         r"^walrus: service status \S+: no member was reached: [^\n]+\n$")

    def test_off_loopback_needs_tls(self):
        done = walrus("service", "status", addr="192.0.2.1:9093")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"not a loopback address", done.stderr)


if __name__ == "__main__":
    main()
