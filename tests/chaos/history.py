"""Histories of a key-value store, as real clients make them: recorded, written down in the form of
sim/kv_history.h, judged by walrus_check_history.

A client is a process of its own that takes a command a line and answers a line. It is killed now
and then: then the outcome of what it had asked is not known, and another one with another session
takes its place. Times are of one clock, nanoseconds.
"""

import dataclasses
import itertools
import random
import select
import subprocess
import threading
import time

ANSWER_SECONDS = 120  # a client gives up by itself, with an answer, before this
WINDOW_SECONDS = 2  # how long a key is used: so the search has few operations of each
KEYS = 3


@dataclasses.dataclass
class Operation:
    session: int
    kind: str  # get, put, cas, delete; add is no operation of the form
    key: str
    invoked: int
    words: tuple = ()  # cas: expected and new value; put: the value
    completed: int = 0  # 0: the outcome is not known
    answer: str = ""  # of a done one, in the words of the form
    failed: bool = False

    def line(self):
        done = self.completed and not self.failed
        words = [str(self.session), f"{self.invoked}..{self.completed or ''}", self.kind, self.key,
                 *self.words]
        if done and self.answer:
            words += ["=", self.answer]
        return " ".join(words + ["failed"] * self.failed)


class Client:
    """A process of an example's client. None of its calls raises: None is no answer."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)
        hello = self._line().split()
        self.session = int(hello[1]) if hello[:1] == ["session"] else None

    def ask(self, line):
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            return None
        return self._line().rstrip("\n") or None

    def kill(self):
        self.process.kill()

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        try:
            self.process.stdin.close()
        except OSError:
            pass

    def _line(self):
        if not select.select([self.process.stdout], [], [], ANSWER_SECONDS)[0]:
            self.process.kill()
            raise AssertionError(f"a client said nothing for {ANSWER_SECONDS} s")
        return self.process.stdout.readline().decode()


class Worker(threading.Thread):
    """One client after another, each with one operation at a time."""

    def __init__(self, number, command, seed, pause_seconds):
        super().__init__(name=f"client {number}")
        self.number, self.command, self.pause = number, command, pause_seconds
        self.random = random.Random(seed * 1000 + number)
        self.operations, self.kept = [], []
        self.added = 0  # acknowledged of "add n 1"
        self.added_unknown = 0
        self.replies = []  # to them
        self.last_write_invoked = 0  # of those that were acknowledged
        self.values = itertools.count(1)
        self.seen = {}  # key: the last value that was seen here
        self.ended = threading.Event()
        self.problem = None
        self.client = None
        self.killed = 0

    def run(self):
        try:
            while not self.ended.is_set():
                self._one_client()
        except AssertionError as problem:
            self.problem = problem

    def kill_client(self):
        client = self.client
        if client:
            self.killed += 1
            client.kill()

    def _one_client(self):
        client = Client(self.command)
        if client.session is None:  # nobody answered, or it was killed
            client.end()
            return
        self.client = client
        while not self.ended.wait(self.pause) and self._operate(client):
            pass
        self.client = None
        client.end()

    def _operate(self, client):
        """Whether the client goes on."""
        key = f"r{int(time.monotonic() / WINDOW_SECONDS)}.{self.random.randrange(KEYS)}"
        kind = self.random.choices(["get", "put", "cas", "delete", "keep", "add"],
                                   [6, 4, 3, 1, 2, 2])[0]
        value = f"v{self.number}.{next(self.values)}"
        if kind == "add":
            return self._add(client)
        if kind == "keep":
            return self._write(client, Operation(
                client.session, "put", f"kept{value}", 0, (value,)), f"put kept{value} {value}")
        if kind == "put":
            self.seen[key] = value
            return self._write(client, Operation(client.session, "put", key, 0, (value,)),
                               f"put {key} {value}")
        if kind == "delete":
            return self._write(client, Operation(client.session, "delete", key, 0), f"del {key}")
        if kind == "cas":
            old = self.seen.get(key, "v0")
            return self._write(client, Operation(client.session, "cas", key, 0, (old, value)),
                               f"cas {key} {old} {value}")
        return self._read(client, Operation(client.session, "get", key, 0))

    def _write(self, client, operation, line):
        answer = self._invoke(client, operation, line)
        if answer is None or answer.startswith("error: "):
            return answer is not None
        now = time.monotonic_ns()
        if operation.kind == "put" and answer != "ok" or operation.kind != "put" and answer not in (
                "ok", "not found", "another value"):
            raise AssertionError(f"{line}: {answer}")
        operation.completed = now
        if operation.kind != "put":
            operation.answer = "yes" if answer == "ok" else "no"
        if operation.key.startswith("kept"):
            self.kept.append(operation)
        self.last_write_invoked = operation.invoked
        return True

    def _read(self, client, operation):
        answer = self._invoke(client, operation, f"?get {operation.key}")
        if answer is None:
            return False
        operation.completed = time.monotonic_ns()
        if answer.startswith("error: "):
            operation.failed = True
            return True
        operation.answer = "-" if answer == "not found" else answer
        if answer != "not found":
            self.seen[operation.key] = answer
        return True

    def _add(self, client):
        answer = client.ask("add n 1")
        if answer is None or answer.startswith("error: "):
            self.added_unknown += 1
            return answer is not None
        if not answer.isdigit():
            raise AssertionError(f"add n 1: {answer}")
        self.replies.append(int(answer))
        return True

    def _invoke(self, client, operation, line):
        operation.invoked = time.monotonic_ns()
        self.operations.append(operation)
        return client.ask(line)


def write_down(operations, path):
    lines = [operation.line() for operation in sorted(operations, key=lambda one: one.invoked)]
    path.write_text("walrus-history 1\n" + "\n".join(lines) + "\n")


def judge(checker, path):
    """What walrus_check_history says of it; None if it is linearizable."""
    done = subprocess.run([checker, path], capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else done.stdout + done.stderr
