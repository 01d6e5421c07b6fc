"""Faults of nodes that have an operator, beside those of nemesis.py and disks.py: each is a
generator as there."""

import time

from disks import ON_LOOP_DISKS, full_disk
from nemesis import FAULTS, SLOW_LINKS, Fault, others


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


OF_SERVERS = [full_disk, *SLOW_LINKS, drained, rolling_restart]
ALL = FAULTS + OF_SERVERS + ON_LOOP_DISKS


def faults_of(cluster, names=()):
    """What can be done to it here; of these alone, if any are named."""
    here = FAULTS + OF_SERVERS + (ON_LOOP_DISKS if cluster.loops else [])
    return [fault for fault in here if not names or fault.__name__ in names]
