#!/usr/bin/env python3
"""Real crashes of the real program: kill -9 of `walrus serve`, and power cuts of the file system
under it.

usage: crash_test.py [--kills N] [--power-cuts N] [--part PART] [--without-sync PROGRAM]
parts: kill_nine, power_cut, power_cut_without_sync (must lose something); all without --part

Each cycle opens the directory, checks that nothing that was acknowledged is missing, that there is
no gap and no record that was not sent, and that every record holds what was written; then appends
from eight connections, many unanswered on each, until the journal (mapped, as always) has wrapped
three times, and ends the server at a random moment after that. At least 80 % of the crashes have to
hit appends in flight, else the test fails: it would have tested nothing.

Power cuts: ext4 on a loop device, shut down without flushing its log (EXT4_IOC_SHUTDOWN), then
mounted again. Only what was acknowledged before the cut counts. Needs root, loop devices, ext4.
exit status: 0 all well, 1 a failure, 77 a part cannot run here.
"""
import argparse
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
from load import STREAMS, Failure, Load, bounds, read_all, topic  # noqa: E402
from loop_disk import LoopDisk, Unavailable as Skip, own_mounts  # noqa: E402
from walrus import BINARY, Native, Server, wait_until  # noqa: E402

MIB = 1 << 20
IMAGE_BYTES = 256 * MIB
WRAPS_MIN = 3
SHARE_IN_FLIGHT_MIN = 0.8
PARTS = ("kill_nine", "power_cut", "power_cut_without_sync")
# One journal, so small that it wraps within a fraction of a second, and little to keep.
SETTINGS = {"log.shards": 1, "log.journal_bytes_max": 2 * MIB, "topic.batch_bytes_max": 65536,
            "topic.segment_bytes_max": 131072, "topic.retention_bytes": 524288,
            "log.maintenance_interval_ms": 50, "log.background_bytes_per_s": 1024 * MIB,
            "limits.disk_free_bytes_min": 0}


class Cycles:
    """Crashes one directory again and again, and counts."""

    def __init__(self, binary, directory):
        settings = [word for name, value in SETTINGS.items()
                    for word in ("--set", f"{name}={value}")]
        self.server = Server(directory, *settings, binary=binary)
        self.issued = self.acknowledged = [0] * STREAMS  # at the last crash
        self.crashes = self.in_flight = self.lost = self.records = 0
        self.wraps = []
        self.begin = time.monotonic()

    def open_and_check(self):
        """Starts the server; where the streams end. Nothing acknowledged may be missing."""
        try:
            self.server.start()
        except AssertionError as error:
            raise Failure(f"reopening fails: {error}") from None
        ends = []
        with Native(self.server.addr) as native:
            for stream in range(STREAMS):
                native.ask(f"REGISTER {topic(stream)}")
                start, end = bounds(native, stream)
                self.lost += max(0, self.acknowledged[stream] - end)
                if end > self.issued[stream]:
                    raise Failure(f"{topic(stream)}: ends at {end}, but only"
                                  f" {self.issued[stream]} records were ever sent")
                read_all(native, stream, start, end)
                self.records += end - start
                ends.append(end)
        return ends

    def write_until(self, crash, ends):
        """Appends until the journal has wrapped and a random moment has come."""
        load = Load(self.server.addr, ends)
        try:
            wraps = wait_until(lambda: self.wrapped(load), "the journal to wrap", 120)
            time.sleep(random.random() * 0.05)
            acknowledged = crash(load)
        finally:
            self.server.kill9()
            load.join()
        self.wraps.append(wraps)
        self.issued, self.acknowledged = list(load.issued), acknowledged(load)
        self.crashes += 1
        self.in_flight += any(i > a for i, a in zip(self.issued, self.acknowledged))

    def wrapped(self, load):
        """How often the journal has wrapped, as soon as that is often enough."""
        if load.failure or self.server.process.poll() is not None:
            raise Failure(load.failure or "the server ended: " + self.server.error_text())
        files = len(list(pathlib.Path(self.server.directory, "journal/0").glob("*.wal")))
        wraps = self.server.metrics()["walrus_log_journal_recycles_total"] / files
        return wraps if wraps >= WRAPS_MIN else 0

    def report(self, name):
        print("%s: %d crashes, %d with appends in flight, %d acknowledged records lost, "
              "%d records read, journal wraps per cycle %.1f at least %.1f, %.1f s" %
              (name, self.crashes, self.in_flight, self.lost, self.records,
               sum(self.wraps) / max(1, len(self.wraps)), min(self.wraps or [0]),
               time.monotonic() - self.begin), flush=True)

    def judge(self):
        if self.lost:
            raise Failure("%d acknowledged records lost" % self.lost)
        if self.in_flight < SHARE_IN_FLIGHT_MIN * self.crashes:
            raise Failure("only %d of %d crashes hit appends in flight" %
                          (self.in_flight, self.crashes))


def kill_nine(args, work):
    cycles = Cycles(BINARY, os.path.join(work, "data"))

    def crash(load):
        cycles.server.kill9()
        return lambda load: list(load.acknowledged)  # the page cache survives: every answer counts

    try:
        for _ in range(args.kills):
            cycles.write_until(crash, cycles.open_and_check())
        cycles.open_and_check()
    finally:
        cycles.server.close()
    cycles.report("kill_nine")
    cycles.judge()


def power_cuts(args, work, binary, count, until_lost):
    """Cuts the power `count` times, or until something is found lost: that, as text."""
    if os.geteuid() != 0:
        raise Skip("not root")
    disk = LoopDisk(work, IMAGE_BYTES)
    cycles = Cycles(binary, os.path.join(disk.mount_point, "data"))
    found = ""

    def crash(load):
        # A sync that races with the cut may still answer well: what counts was seen before it.
        acknowledged = list(load.acknowledged)
        disk.cut()
        return lambda _: acknowledged

    try:
        disk.mount()
        if until_lost:  # the directory and the topics are there: what is lost was in the journal
            made = Cycles(BINARY, cycles.server.directory)
            made.open_and_check()
            made.server.stop()
            made.server.close()
            os.sync()
        for _ in range(count):
            cycles.write_until(crash, cycles.open_and_check())
            disk.unmount()
            disk.mount()
            if until_lost and cycles.lost:
                break
        cycles.open_and_check()
    except Failure as failure:
        if not until_lost or not cycles.crashes:
            raise
        found = str(failure)
    finally:
        cycles.server.close()
        disk.unmount()
    cycles.report("power_cut" if binary == BINARY else "power_cut_without_sync")
    if until_lost:
        return found or (f"{cycles.lost} records" if cycles.lost else "")
    cycles.judge()
    return ""


def run_part(part, args, work):
    if part == "kill_nine":
        kill_nine(args, work)
    elif part == "power_cut":
        power_cuts(args, work, BINARY, args.power_cuts, False)
    else:
        found = power_cuts(args, work, args.without_sync, 10, True)
        if not found:
            raise Failure("ten power cuts without any sync lost nothing: the test does not bite")
        print("lost without syncs, as it should be: " + found)


def roomy_directory():
    """In memory if there is room: a power cut of the file system in the image is none of its."""
    for directory in ("/dev/shm", tempfile.gettempdir()):
        if os.access(directory, os.W_OK) and shutil.disk_usage(directory).free > 2 * IMAGE_BYTES:
            return directory
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--power-cuts", type=int, default=50)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--without-sync", default="build/release/bin/walrus_without_sync")
    args = parser.parse_args()
    status = 0
    for part in [args.part] if args.part else PARTS:
        where = None if part == "kill_nine" else roomy_directory()
        work = tempfile.mkdtemp(prefix="walrus-crash.", dir=where)
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
    own_mounts()
    sys.exit(main())
