#!/usr/bin/env python3
"""Real crashes: kill -9 of crash_writer, and power cuts of the file system under it.

usage: crash_test.py [--kills N] [--power-cuts N] [--part PART] [--binary build/.../crash_writer]
parts: kill_nine, power_cut, power_cut_without_sync (must lose something); all without --part

Each cycle starts the writer, ends it at a random moment, reopens the directory and checks that
nothing that was acknowledged is missing, that there is no gap, and that every record holds what was
written. The journal has to wrap at least three times a cycle, and at least 80 % of the crashes have
to hit appends in flight, else the test fails: it would have tested nothing.

Power cuts: ext4 on a loop device, shut down without flushing its log (EXT4_IOC_SHUTDOWN), then
mounted again. Only what was acknowledged before the cut counts. Needs root, loop devices, ext4.
exit status: 0 all well, 1 a failure, 77 a part cannot run here.
"""
import argparse
import fcntl
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

EXT4_IOC_SHUTDOWN = (2 << 30) | (4 << 16) | (ord("X") << 8) | 125
NOLOGFLUSH = 2
STREAMS = 8
WRAPS_MIN = 3
# What the writer's journal may hold: a wrap is as many files used again.
JOURNAL_FILES = 8
IMAGE_BYTES = 256 << 20
SHARE_IN_FLIGHT_MIN = 0.8
PARTS = ("kill_nine", "power_cut", "power_cut_without_sync")


class Failure(Exception):
    pass


class Skip(Exception):
    pass


class Counters:
    """What the writer counts in a file that both sides map: see crash_writer.cc."""

    layout = struct.Struct("<%dq" % (2 * STREAMS + 1))

    def __init__(self, path):
        self.path = path

    def clear(self):
        with open(self.path, "wb") as file:
            file.write(bytes(self.layout.size))

    def read(self):
        with open(self.path, "rb") as file:
            values = self.layout.unpack(file.read(self.layout.size))
        return values[0:2 * STREAMS:2], values[1:2 * STREAMS:2], values[-1]


def check(binary, directory):
    """Opens the directory as the next process would; per stream its first offset and its end."""
    done = subprocess.run([binary, "check", directory], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failure("reopening fails: " + done.stderr.strip())
    ends = {}
    for line in done.stdout.splitlines():
        stream, start, end = (int(word) for word in line.split())
        ends[stream] = (start, end)
    return ends


class Tally:
    def __init__(self):
        self.crashes = self.in_flight = self.lost = self.wraps_too_few = 0
        self.records = 0
        self.wraps = []

    def report(self, name, seconds):
        print("%s: %d crashes, %d with appends in flight, %d acknowledged records lost, "
              "%d records, journal wraps per cycle %.1f at least %.1f, %.1f s" %
              (name, self.crashes, self.in_flight, self.lost, self.records,
               sum(self.wraps) / max(1, len(self.wraps)), min(self.wraps or [0]), seconds),
              flush=True)


def write_until(binary, directory, counters, flags, crash):
    """Runs the writer until it has wrapped its journal and a random moment has come."""
    counters.clear()
    writer = subprocess.Popen([binary, "write", directory, counters.path] + flags,
                              stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    try:
        while counters.read()[2] < WRAPS_MIN * JOURNAL_FILES:
            if writer.poll() is not None:
                raise Failure("the writer ended by itself: " + writer.stderr.read().strip())
            if time.monotonic() > deadline:
                raise Failure("the journal did not wrap in two minutes")
            time.sleep(0.002)
        time.sleep(random.random() * 0.05)
        seen = crash(writer)
    finally:
        writer.kill()
        writer.wait()
        writer.stderr.close()
    return seen


def compare(tally, counters_seen, ends):
    issued, acknowledged, recycled = counters_seen
    tally.crashes += 1
    tally.in_flight += any(i > a for i, a in zip(issued, acknowledged))
    tally.wraps.append(recycled / JOURNAL_FILES)
    lost = 0
    for stream in range(STREAMS):
        start, end = ends.get(stream, (0, 0))
        tally.records += end - start
        lost += max(0, acknowledged[stream] - end)
    tally.lost += lost
    return lost


def kill_nine(args, work):
    counters = Counters(os.path.join(work, "counters"))
    directory = os.path.join(work, "data")
    tally = Tally()

    def crash(writer):
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        return counters.read()

    begin = time.monotonic()
    for _ in range(args.kills):
        seen = write_until(args.binary, directory, counters, [], crash)
        compare(tally, seen, check(args.binary, directory))
    tally.report("kill_nine", time.monotonic() - begin)
    return tally


class LoopFileSystem:
    def __init__(self, work):
        self.image = os.path.join(work, "image")
        self.mount_point = os.path.join(work, "mount")
        os.mkdir(self.mount_point)
        with open(self.image, "wb") as file:
            file.truncate(IMAGE_BYTES)
        subprocess.check_call(["mkfs.ext4", "-q", "-F", self.image])
        self.mounted = False

    def mount(self):
        done = subprocess.run(["mount", "-o", "loop", self.image, self.mount_point],
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise Skip("no loop device: " + done.stderr.strip())
        self.mounted = True

    def unmount(self):
        if self.mounted:
            subprocess.check_call(["umount", self.mount_point])
            self.mounted = False

    def cut(self):
        directory = os.open(self.mount_point, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        finally:
            os.close(directory)


def power_cuts(args, work, flags, cycles, until_lost):
    if os.geteuid() != 0:
        raise Skip("not root")
    if shutil.which("mkfs.ext4") is None:
        raise Skip("no mkfs.ext4")
    disk = LoopFileSystem(work)
    directory = os.path.join(disk.mount_point, "data")
    counters = Counters(os.path.join(work, "counters"))
    tally = Tally()
    broken = []

    def crash(writer):
        # A sync that races with the cut may still answer well: what counts was seen before it.
        acknowledged = counters.read()[1]
        disk.cut()
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        issued, _, recycled = counters.read()
        return issued, acknowledged, recycled

    begin = time.monotonic()
    try:
        for _ in range(cycles):
            disk.mount()
            seen = write_until(args.binary, directory, counters, flags, crash)
            disk.unmount()
            disk.mount()
            try:
                compare(tally, seen, check(args.binary, directory))
            except Failure as failure:
                if not until_lost:
                    raise
                tally.crashes += 1
                broken.append(str(failure))
            disk.unmount()
            if until_lost and (tally.lost or broken):
                break
    finally:
        disk.unmount()
    tally.report("power_cut" + ("_without_sync" if flags else ""), time.monotonic() - begin)
    for line in broken:
        print("  " + line)
    return tally, broken


def run_part(part, args, work):
    if part == "kill_nine":
        tally = kill_nine(args, work)
    elif part == "power_cut":
        tally, _ = power_cuts(args, work, [], args.power_cuts, False)
    else:
        tally, broken = power_cuts(args, work, ["--no-sync"], 10, True)
        if not tally.lost and not broken:
            raise Failure("ten power cuts without any sync lost nothing: the test does not bite")
        return
    if tally.lost:
        raise Failure("%d acknowledged records lost" % tally.lost)
    if min(tally.wraps, default=WRAPS_MIN) < WRAPS_MIN:
        raise Failure("the journal wrapped fewer than %d times in a cycle" % WRAPS_MIN)
    if tally.in_flight < SHARE_IN_FLIGHT_MIN * tally.crashes:
        raise Failure("only %d of %d crashes hit appends in flight" %
                      (tally.in_flight, tally.crashes))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--power-cuts", type=int, default=50)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--binary", default="build/release/bin/crash_writer")
    args = parser.parse_args()
    status = 0
    for part in [args.part] if args.part else PARTS:
        work = tempfile.mkdtemp(prefix="walrus-crash.")
        try:
            run_part(part, args, work)
        except Skip as reason:
            print("SKIP crash.%s: %s" % (part, reason))
            status = status or 77
        except Failure as failure:
            print("FAILED crash.%s: %s" % (part, failure))
            status = 1
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
