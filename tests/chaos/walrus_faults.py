"""Faults of nodes that have disks and an operator, beside those of nemesis.py: each is a generator
as there."""

import itertools
import time

from nemesis import FAULTS, Fault, others

# --- disks ---


def power_cut(cluster, random):
    node = cluster.leader()
    cluster.cut_power([node])
    yield Fault(f"power cut of {node}, a leader")
    cluster.power([node])


def power_cut_of_all(cluster, random):
    cluster.cut_power(cluster.nodes)
    yield Fault("power cut of all", majority=False)
    cluster.power(cluster.nodes)


def full_disk(cluster, random):
    """Below the watermark, or to the last block. Others take over what it writes."""
    node = cluster.leader()
    left = random.choice([0, 8 << 20])
    cluster.disks[node].fill(left)
    yield Fault(f"the disk of {node}, a leader, is full but for {left >> 20} MiB")
    cluster.disks[node].free()


def frozen_disk(cluster, random):
    """Nothing is written and nothing fails: whoever writes, waits."""
    node = cluster.leader()
    cluster.freeze(node)
    yield Fault(f"the disk of {node}, a leader, stands still")
    cluster.thaw()


# --- the network ---


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


# --- the operator ---


def drained(cluster, random):
    """What it leads goes elsewhere, and it comes back."""
    node = cluster.leader()
    operator = random.choice(others(cluster, node))
    tell(cluster, operator, f"CLUSTER drain {node}")
    yield Fault(f"{node}, a leader, is drained")
    tell(cluster, operator, f"CLUSTER activate {node}")
    cluster.await_active()


def rolling_restart(cluster, random):
    """One after another, each when all copies are written again."""
    for node in cluster.nodes:
        status = cluster.end(node)
        assert status == 0, f"node {node} ended with status {status}: {cluster.said(node)}"
        cluster.start(node)
        cluster.await_whole()
    yield Fault("all were restarted, one after another")


def tell(cluster, node, request, seconds=60):
    end = time.monotonic() + seconds
    while (reply := cluster.ask(node, request)) != "OK":
        assert time.monotonic() < end, f"{request}: {reply}"
        time.sleep(0.05)


ON_LOOP_DISKS = [power_cut, power_cut_of_all, frozen_disk]
OF_SERVERS = [full_disk, slow_network, lossy_network, far_leader, drained,
              rolling_restart]


ALL = FAULTS + OF_SERVERS + ON_LOOP_DISKS


def faults_of(cluster, names=()):
    """What can be done to it here; of these alone, if any are named."""
    here = FAULTS + OF_SERVERS + (ON_LOOP_DISKS if cluster.loops else [])
    return [fault for fault in here if not names or fault.__name__ in names]
