"""Nodes as real processes, each on a host and a disk of its own: what nemesis.py does to any
cluster, and what can be done to their disks. Of one thread.

As root each disk is ext4 on a loop device, with power that can be cut; otherwise a small file
system in memory, which can at least be full.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import time
import uuid

from cluster import DEADLINE, Cluster
from nemesis import Fault

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "crash"))
from loop_disk import LoopDisk  # noqa: E402

MIB = 1 << 20
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class MemoryDisk:
    """What there is without root: it can be full. With the interface of a LoopDisk."""

    def __init__(self, directory, size_bytes):
        self.mount_point = os.path.join(directory, "mount")
        os.mkdir(self.mount_point)
        subprocess.check_call(["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs",
                               self.mount_point])

    fill, free = LoopDisk.fill, LoopDisk.free

    def mount(self):
        pass

    def unmount(self):
        subprocess.check_call(["umount", self.mount_point])


class ClusterOnDisks(Cluster):
    def __init__(self, network, said, work, nodes, disk_bytes):
        super().__init__(network, said, nodes)
        self.work = pathlib.Path(work)
        self.frozen = set()
        # What a node mounts and unmounts is none of the others' business, but what is unmounted
        # here must be so everywhere: else the disk below lives on.
        subprocess.run(["mount", "--make-rshared", "/"], check=True)
        self.loops = may_loop()
        self.disks = {}
        for node in self.nodes:
            directory = self.work / f"disk{node}"
            directory.mkdir()
            self.disks[node] = (LoopDisk if self.loops else MemoryDisk)(directory, disk_bytes)
            self.disks[node].mount()
            self.boot(node)

    def data(self, node):
        return pathlib.Path(self.disks[node].mount_point) / "data"

    def boot(self, node):
        """Its kernel is another one from now on, as the program sees it."""
        self.boot_id(node).write_text(f"{uuid.uuid4()}\n")

    def boot_id(self, node):
        return self.work / f"boot_id{node}"

    def booted(self, node, words):
        """What to start instead of `words`: the same, as that kernel's."""
        mount = f'mount --bind "$0" {BOOT_ID} && exec "$@"'
        return ["env", "-u", "WALRUS_BINARY", "-u", "WALRUS_BUILD", "-u", "WALRUS_SOURCE", "sh",
                "-c", mount, str(self.boot_id(node)), *map(str, words)]

    def cut_power(self, nodes):
        """Of all of them at one moment: they stand still first, so that nothing is said any more
        that rests on a sync that was cut short."""
        for node in nodes:
            if node not in self.stopped:
                self.stop(node)
        for node in nodes:
            self.disks[node].cut()
        for node in nodes:
            self.kill(node)
            self.disks[node].unmount()
            self._await_detached(node)
            self.boot(node)

    def power(self, nodes):
        for node in nodes:
            self.disks[node].mount()
            self.start(node, wait=False)
        for node in nodes:
            self.wait_ready(node)

    def freeze(self, node):
        self.frozen.add(node)
        self.disks[node].freeze()

    def thaw(self):
        for node in list(self.frozen):
            self.disks[node].thaw()
            self.frozen.discard(node)

    def end_all(self):
        self.thaw()
        super().end_all()
        for disk in self.disks.values():
            disk.unmount()

    def keep_images(self, left):
        """For whoever looks for what went wrong."""
        if self.loops:
            for node, disk in self.disks.items():
                subprocess.run(["cp", "--sparse=always", disk.image, left / f"disk{node}.ext4"],
                               check=True)

    def _await_detached(self, node):
        """Two file systems on one image would ruin it."""
        end = time.monotonic() + DEADLINE
        while subprocess.run(["losetup", "-j", self.disks[node].image], capture_output=True,
                             check=True).stdout:
            if time.monotonic() > end:
                raise AssertionError(f"the disk of node {node} is still in use somewhere")
            time.sleep(0.01)


def may_loop():
    """Whether disks whose power can be cut can be had."""
    return os.geteuid() == 0 and os.access("/dev/loop-control", os.W_OK) and \
        "0 0 4294967295" in " ".join(pathlib.Path("/proc/self/uid_map").read_text().split())


def roomy_directory():
    """For images of disks. In memory if there is room: a power cut of the disks in the images is
    none of its."""
    memory = pathlib.Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > 4096 * MIB:
        return memory
    return None


# --- faults, as those of nemesis.py ---


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


ON_LOOP_DISKS = [power_cut, power_cut_of_all, frozen_disk]
