"""The nemesis: faults that are done to a cluster one after another, each healed before the next.

A fault is a generator: it does its harm, yields what it did, and undoes it when it is asked again.

    def killed_leader(cluster, random):
        node = cluster.leader()
        cluster.kill(node)
        yield Fault(f"kill -9 of {node}, the leader")
        cluster.start(node)

While a majority lives, writes have to go on before a fault ends; without one, no write that is
asked for during the fault may be acknowledged. Whoever runs a nemesis says by `Progress` what was
answered.
"""

import dataclasses
import itertools
import time

DEADLINE = 60  # seconds in which writes go on, on a machine that is busy
POLL = 0.01


@dataclasses.dataclass
class Fault:
    what: str
    # There is one that can write, and clients reach it; None: it depends, nothing is demanded.
    majority: bool | None = True
    cut_off: tuple = ()  # nodes that clients reach and that can acknowledge nothing


# --- processes ---

def killed_leader(cluster, random):
    node = cluster.leader()
    cluster.kill(node)
    yield Fault(f"kill -9 of {node}, the leader")
    cluster.start(node)


def killed_follower(cluster, random):
    node = a_follower(cluster, random)
    cluster.kill(node)
    yield Fault(f"kill -9 of {node}, a follower")
    cluster.start(node)


def killed_all(cluster, random):
    for node in cluster.nodes:
        cluster.kill(node)
    yield Fault("kill -9 of all", majority=False)
    cluster.start_all()


def killed_majority(cluster, random):
    """One node is left, be it the leader or not."""
    left = random.choice(cluster.nodes)
    killed = [node for node in cluster.nodes if node != left]
    for node in killed:
        cluster.kill(node)
    yield Fault(f"kill -9 of all but {left}", majority=False)
    for node in killed:
        cluster.start(node, wait=False)
    for node in killed:
        cluster.wait_ready(node)


def recycled(cluster, random):
    """Killed again while it recovers."""
    node = random.choice(cluster.nodes)
    for _ in range(4):
        cluster.kill(node)
        cluster.start(node, wait=False)
        time.sleep(random.uniform(0, 0.1))  # the moment of the next kill
    cluster.kill(node)
    yield Fault(f"kill -9 of {node}, five times while it starts")
    cluster.start(node)


def stopped_leader(cluster, random):
    node = cluster.leader()
    cluster.stop(node)
    yield Fault(f"SIGSTOP of {node}, the leader")
    cluster.go_on(node)


def stopped_follower(cluster, random):
    node = a_follower(cluster, random)
    cluster.stop(node)
    yield Fault(f"SIGSTOP of {node}, a follower")
    cluster.go_on(node)


def stopped_all(cluster, random):
    """As if the machine slept: all clocks go on, nobody heard anybody."""
    for node in cluster.nodes:
        cluster.stop(node)
    yield Fault("SIGSTOP of all", majority=False)
    for node in cluster.nodes:
        cluster.go_on(node)


def restarted_leader(cluster, random):
    """As its operator does it."""
    node = cluster.leader()
    status = cluster.end(node)
    yield Fault(f"end of {node}, the leader")
    assert status == 0, f"node {node} ended with status {status}: {cluster.said(node)}"
    cluster.start(node)


# --- the network ---

def isolated_leader(cluster, random):
    """Clients still reach it."""
    node = cluster.leader()
    cluster.network.isolate(node)
    yield Fault(f"{node}, the leader, is cut off from the others", cut_off=(node,))
    cluster.network.heal()


def mute_leader(cluster, random):
    """It hears the others, and none of them hears it."""
    node = cluster.leader()
    for other in others(cluster, node):
        cluster.network.cut(node, other)
    yield Fault(f"nobody hears {node}, the leader", cut_off=(node,))
    cluster.network.heal()


def deaf_leader(cluster, random):
    """They hear it, and it hears none of them."""
    node = cluster.leader()
    for other in others(cluster, node):
        cluster.network.cut(other, node)
    yield Fault(f"{node}, the leader, hears nobody", cut_off=(node,))
    cluster.network.heal()


def deaf_follower(cluster, random):
    """It hears no leader, and everybody hears that it would like to be one."""
    node = a_follower(cluster, random)
    for other in others(cluster, node):
        cluster.network.cut(other, node)
    yield Fault(f"{node}, a follower, hears nobody", cut_off=(node,))
    cluster.network.heal()


def cut_link(cluster, random):
    """Between the leader and a follower; a third node reaches both."""
    leader = cluster.leader()
    other = random.choice(others(cluster, leader))
    cluster.network.cut_between(leader, other)
    yield Fault(f"the link of {leader}, the leader, and {other} is cut")
    cluster.network.heal()


def cut_one_way(cluster, random):
    sender, receiver = random.sample(cluster.nodes, 2)
    cluster.network.cut(sender, receiver)
    yield Fault(f"{receiver} does not hear {sender}")
    cluster.network.heal()


def all_apart(cluster, random):
    for node in cluster.nodes:
        cluster.network.isolate(node)
    yield Fault("every node is alone", majority=False)
    cluster.network.heal()


def unreachable_leader(cluster, random):
    """By clients, one way or both; the others reach it."""
    node = cluster.leader()
    outside = cluster.network.everyone()[-1]
    cluster.network.cut(outside, node)
    if random.random() < 0.5:
        cluster.network.cut(node, outside)
    yield Fault(f"clients do not reach {node}, the leader")
    cluster.network.heal()


# --- the network, through the switch in user space ---

def slow_network(cluster, random):
    delay = random.choice([10, 30, 60])
    for one, other in itertools.permutations(cluster.nodes, 2):
        cluster.network.slow(one, other, delay_ms=delay, jitter_ms=delay / 2)
    yield Fault(f"all links take {delay} ms and up to half of it more")
    cluster.network.heal()


def lossy_network(cluster, random):
    loss = random.choice([2, 5, 10])
    for one, other in itertools.permutations(cluster.nodes, 2):
        cluster.network.slow(one, other, delay_ms=1, jitter_ms=5, loss_percent=loss,
                             double_percent=loss)
    yield Fault(f"all links lose and double {loss} % and reorder")
    cluster.network.heal()


def far_leader(cluster, random):
    node = cluster.leader()
    for other in others(cluster, node):
        cluster.network.slow(node, other, delay_ms=100, jitter_ms=20)
        cluster.network.slow(other, node, delay_ms=100, jitter_ms=20)
    yield Fault(f"{node}, a leader, is 200 ms away")
    cluster.network.heal()


FAULTS = [killed_leader, killed_follower, killed_all, killed_majority, recycled, stopped_leader,
          stopped_follower, stopped_all, restarted_leader, isolated_leader, mute_leader,
          deaf_leader, deaf_follower, cut_link, cut_one_way, all_apart, unreachable_leader]
SLOW_LINKS = [slow_network, lossy_network, far_leader]


def others(cluster, node):
    return [other for other in cluster.nodes if other != node]


def a_follower(cluster, random):
    return random.choice(others(cluster, cluster.leader()))


@dataclasses.dataclass
class Done:
    """A fault that was."""
    name: str
    fault: Fault
    begun: int  # nanoseconds, as time.monotonic_ns()
    ended: int
    writes_after_ms: float = 0  # it was healed


def silences(done):
    """(begun, ended, node or None, what): what was asked for at that node, or anywhere, from
    `begun` on cannot have been acknowledged before `ended`."""
    for one in done:
        if one.fault.majority is False:
            yield one.begun, one.ended, None, one.fault.what
        for node in one.fault.cut_off:
            yield one.begun, one.ended, node, one.fault.what


class Timeline:
    """What happened when, as it happens."""

    def __init__(self):
        self.began = time.monotonic_ns()
        self.lines = []

    def add(self, text):
        self.lines.append(f"{(time.monotonic_ns() - self.began) / 1e9:8.3f}  {text}")
        print(self.lines[-1], flush=True)


class Progress:
    """What the nemesis asks of whoever writes."""

    def acknowledged_since(self, moment):
        """Whether a write that was asked for at `moment` or later was acknowledged."""
        raise NotImplementedError

    def check(self):
        """Raises what went wrong already."""


class Nemesis:
    def __init__(self, cluster, random, progress, timeline, faults=None):
        self.cluster, self.random = cluster, random
        self.progress, self.timeline = progress, timeline
        self.faults = faults or FAULTS
        self.done = []

    def run(self, seconds, each_once=True):
        """The faults in an order of chance until the time is over, and each at least once if that
        is asked for. Ends with all healed and with writes going on."""
        end = time.monotonic() + seconds
        least = len(self.faults) if each_once else 1
        while time.monotonic() < end or len(self.done) < least:
            bag = list(self.faults)
            self.random.shuffle(bag)
            for fault in bag:
                if time.monotonic() >= end and len(self.done) >= least:
                    break
                self._inflict(fault)
        return self.done

    def _inflict(self, fault):
        steps = fault(self.cluster, self.random)
        told = next(steps)
        begun = time.monotonic_ns()
        self.timeline.add(told.what)
        time.sleep(self.random.uniform(0.5, 2.5))  # how long it lasts at least
        if told.majority:
            self._writes_go_on(begun, told.what)
        ended = time.monotonic_ns()
        for _ in steps:
            raise AssertionError(f"{fault.__name__} yields once")
        healed = time.monotonic_ns()
        one = Done(fault.__name__, told, begun, ended)
        self.done.append(one)
        self._writes_go_on(healed, f"the end of: {told.what}")
        one.writes_after_ms = (time.monotonic_ns() - healed) / 1e6
        self.timeline.add(f"    healed; writes {one.writes_after_ms:.0f} ms later")
        self.cluster.await_whole()

    def _writes_go_on(self, since, what):
        end = time.monotonic() + DEADLINE
        while not self.progress.acknowledged_since(since):
            self.progress.check()
            self.cluster.running()
            if time.monotonic() > end:
                raise AssertionError(f"no write was acknowledged for {DEADLINE} s after {what}")
            time.sleep(POLL)
