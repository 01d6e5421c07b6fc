"""Nodes as real processes, node N on host N of a network: started, killed, stopped, asked."""

import os
import pathlib
import select
import signal
import subprocess
import time

DEADLINE = 60  # seconds for what should be quick, on a machine that is busy


class Cluster:
    """What a program is, its user says: how it is started, and who leads. Of one thread."""

    def __init__(self, network, directory, nodes=3):
        self.network = network
        self.directory = pathlib.Path(directory)  # of what the nodes say, NODE.log
        self.nodes = list(range(1, nodes + 1))
        self.processes = {}
        self.stopped = set()
        self.states = []  # (when, node, what it is from then on), as time.monotonic_ns()

    # --- what a program is ---

    def command(self, node):
        """The words that start it. Its first line on stdout says that it is ready."""
        raise NotImplementedError

    def leads(self, node):
        """The term in which it says that it leads; None if it does not, or says nothing."""
        raise NotImplementedError

    def ask_to_end(self, node):
        """As its operator does; it ends in good order, with status 0."""
        self.processes[node].stdin.close()

    def await_whole(self):
        """Until one more fault is no more than one."""

    # --- what is done to it ---

    def start_all(self):
        for node in self.nodes:
            self.start(node, wait=False)
        for node in self.nodes:
            self.wait_ready(node)

    def start(self, node, wait=True):
        with (self.directory / f"{node}.log").open("ab") as said:
            self.processes[node] = subprocess.Popen(
                self.network.inside(node) + self.command(node), stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=said)
        self._note(node, "starting")
        if wait:
            self.wait_ready(node)

    def wait_ready(self, node):
        process = self.processes[node]
        seen, _, _ = select.select([process.stdout], [], [], DEADLINE)
        if not seen or not process.stdout.readline():
            raise AssertionError(f"node {node} is not ready, status {process.poll()}: "
                                 f"{self.said(node)}")
        self._note(node, "up")

    def kill(self, node):
        self.processes[node].send_signal(signal.SIGKILL)
        self._reap(node)

    def stop(self, node):
        """As if it got no processor any more, until go_on()."""
        self.processes[node].send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.processes[node].pid, os.WSTOPPED)  # now every thread of it stands
        self.stopped.add(node)
        self._note(node, "stopped")

    def go_on(self, node):
        self.stopped.discard(node)
        self.processes[node].send_signal(signal.SIGCONT)
        self._note(node, "up")

    def end(self, node):
        """In good order; its exit status."""
        self.ask_to_end(node)
        return self._reap(node)

    def end_all(self):
        """Whatever became of them."""
        for node in list(self.processes):
            if self.processes[node].poll() is None:
                self.processes[node].kill()
            self._reap(node)

    # --- what is seen ---

    def running(self):
        """That could answer: neither dead nor stopped. A node that died by itself is a failure."""
        for node, process in self.processes.items():
            if process.poll() is not None:
                raise AssertionError(f"node {node} ended by itself, status {process.returncode}: "
                                     f"{self.said(node)}")
        return [node for node in self.processes if node not in self.stopped]

    def leader(self):
        """Who leads, by the highest term that anybody claims."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            claims = {term: node for node in self.running() if (term := self.leads(node))}
            if claims:
                return claims[max(claims)]
        raise AssertionError("nobody leads")

    def said(self, node):
        """The end of its stderr."""
        return (self.directory / f"{node}.log").read_text(errors="replace")[-2000:]

    def _reap(self, node):
        process = self.processes.pop(node)
        self.stopped.discard(node)
        status = process.wait(DEADLINE)
        self._note(node, "dead")
        process.stdout.close()
        if not process.stdin.closed:
            process.stdin.close()
        return status

    def _note(self, node, state):
        self.states.append((time.monotonic_ns(), node, state))
