"""What is done to the clusters, and what is found. Each takes Times and Found (cluster_bench.py)
and adds the figures of one round."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

import acks
import systems
import walrus
from kafka_bench import cpu_seconds, load, resident_anonymous
from systems import Kafka, Walrus, running, watching

SECOND = 1_000_000_000
TOPIC = "load"
RETENTION_BYTES, SEGMENT_BYTES = 1 << 30, 256 << 20  # of throughput runs: less disk, of both
# A client that waits for its defaults (60 s, 10 s) until it gives up a silent server would measure
# those.
SILENCE_MS = 1000


def kib(bytes_per_second):
    return bytes_per_second / 1024


# --- outages ----------------------------------------------------------------------------------

def clients_in_turn(cluster, times, silence_ms=0):
    """An idempotent librdkafka client, then the native one, each alone on the same partitions, as
    Kafka's is: a dictionary with the one that watches."""
    addresses = {"kafka": cluster.bootstrap, "native": cluster.native}
    for client, address in addresses.items():
        with watching(client, address, TOPIC, partitions=times.partitions,
                      rate=times.partition_rate * times.partitions, silence_ms=silence_ms) as watch:
            yield {client: watch}


class Incidents:
    """One after the other, to nodes in turn; each is over when every partition that the node led
    has acknowledged what was due after it, at each client."""

    def __init__(self, cluster, watches):
        self.cluster, self.watches = cluster, watches
        self.last = {name: {} for name in watches}
        self.samples = {name: [] for name in watches}  # nanoseconds, a partition and incident each
        self.errors = {name: 0 for name in watches}
        self.partitions = 0

    def remember(self):
        """What was acknowledged until now is before the next incident."""
        for name, watch in self.watches.items():
            for _, at, _, partition, error in watch.read():
                self.errors[name] += bool(error)
                if not error:
                    self.last[name][partition] = at

    def suffer(self, victim, do):
        """The errors that the clients saw in it."""
        hit = self.cluster.led_by(TOPIC, victim)
        if not hit:
            raise RuntimeError(f"node {victim} leads nothing")
        self.partitions += len(hit)
        self.remember()
        begin = do(victim)
        seen = {name: acks.Outages(begin, self.last[name]) for name in self.watches}
        # What the node itself may have taken in its last moments says nothing.
        since = begin + SECOND // 20
        end = time.monotonic() + systems.SECONDS
        open_ones = dict(seen)
        while open_ones:
            for name, outages in list(open_ones.items()):
                outages.add(self.watches[name].read())
                if outages.over(hit, since):
                    del open_ones[name]
            if time.monotonic() > end:
                raise RuntimeError(f"node {victim}: writes do not go on at {sorted(open_ones)}")
            time.sleep(0.05)
        for name, outages in seen.items():
            self.samples[name] += outages.of(hit)
            self.errors[name] += outages.errors
            told = [acks.percentile(outages.of(hit), percent) / 1e6 for percent in (50, 99, 100)]
            print("    node {} away, {} partitions, {}: p50 {:.0f} p99 {:.0f} max {:.0f} ms".format(
                victim, len(hit), name, *told), flush=True)
        return sum(outages.errors for outages in seen.values())


def kill_leaders(times, found):
    """Each node in turn, the leader of metadata first; it comes back before the next."""
    failed = failed_with_metadata = 0
    with running(Walrus) as cluster:
        cluster.create_topic(TOPIC, times.partitions)
        for watches in clients_in_turn(cluster, times):
            incidents = Incidents(cluster, watches)
            for kill in range(times.kills):
                cluster.await_balance(TOPIC)
                controller = cluster.controller()
                victim = controller if kill % 3 == 0 else \
                    sorted(set(cluster.nodes) - {controller})[kill % 2]
                errors = incidents.suffer(victim, cluster.kill)
                failed_with_metadata += errors if victim == controller else 0
                cluster.start(victim)
                cluster.await_settled()
            end_of(watches, incidents.errors)
            found.add_outages("kill", incidents.samples)
            failed += sum(incidents.errors.values())
    found.add("metadata_failed", "walrus", failed_with_metadata)
    found.add("kill_failed", "walrus", failed)


def kill_kafka(times, found):
    """The same for Kafka, fewer times, because it takes long."""
    with running(Kafka) as cluster:
        cluster.create_topic(TOPIC, times.partitions)
        with watching("kafka", cluster.bootstrap, TOPIC, partitions=times.partitions,
                      rate=times.partition_rate * times.partitions) as watch:
            incidents = Incidents(cluster, {"kafka": watch})
            for _ in range(times.kafka_kills):
                leaders = list(cluster.leaders(TOPIC).values())
                victim = max(cluster.nodes, key=leaders.count)
                incidents.suffer(victim, cluster.kill)
                cluster.start(victim)
                cluster.await_settled()
            end_of({"kafka": watch}, incidents.errors)
    found.add_outages("kill", {"kafka": incidents.samples["kafka"]}, system="kafka")


def stop_leaders(times, found):
    """SIGSTOP: sockets stay open, nothing answers. Goes on when writes do."""
    with running(Walrus) as cluster:
        cluster.create_topic(TOPIC, times.partitions)
        for watches in clients_in_turn(cluster, times, SILENCE_MS):
            incidents = Incidents(cluster, watches)
            for stop in range(times.stops):
                cluster.await_balance(TOPIC)
                victim = 1 + stop % len(cluster.nodes)
                incidents.suffer(victim, cluster.stand_still)
                cluster.go_on(victim)
                cluster.await_settled()
            end_of(watches, incidents.errors)
            found.add_outages("stop", incidents.samples)


def cut_leaders(times, found):
    """Nodes as hosts of a network of their own, a leader cut off from the other nodes, not from its
    clients. In a process of its own, because namespaces are for good."""
    out = systems.DATA.parent / "partition.json"
    done = subprocess.run([sys.executable, str(systems.ROOT / "bench/cluster/cut.py"), str(out),
                           str(times.cuts), str(times.partitions), str(times.partition_rate)])
    if done.returncode == 77:
        raise RuntimeError("no network namespaces here")
    if done.returncode:
        raise RuntimeError("the run in namespaces failed")
    found.add_outages("partition", json.loads(out.read_text()))
    out.unlink()


def end_of(watches, errors):
    for name, watch in watches.items():
        errors[name] += acks.errors(watch.end())


# --- a node that is no leader ------------------------------------------------------------------

def replica_failure(times, found):
    """A node dies; what is looked at is the partitions that it does not lead: from its death until
    it has left their replica sets, which takes 10 s where there is no fourth node."""
    during, longest, changes = [], [], 0
    with running(Walrus) as cluster:
        cluster.create_topic(TOPIC, times.few_partitions)
        with watching("kafka", cluster.bootstrap, TOPIC, partitions=times.few_partitions, rate=1000,
                      record_bytes=1024) as watch:
            for failure in range(times.failures):
                cluster.await_balance(TOPIC)
                victim = 1 + failure % len(cluster.nodes)
                before = cluster.leaders(TOPIC)
                others = {partition for partition, leader in before.items() if leader != victim}
                watch.read()
                begin = cluster.kill(victim)
                time.sleep(times.replica_window)
                end = time.monotonic_ns()
                after = cluster.leaders(TOPIC)
                changes += sum(after[partition] != before[partition] for partition in others)
                cluster.start(victim)
                cluster.await_settled()
                entries = watch.read()
                if errors := acks.errors(entries):
                    raise RuntimeError(f"replica failure: {errors} failed records")
                during += acks.latencies(entries, begin, end, others)
                found_longest = acks.longest_latency(entries, begin, end)
                longest += [found_longest[partition] for partition in others]
            watch.end()
    found.add_latency("replica_failure", "walrus", during)
    found.add("replica_failure_stall", "walrus", acks.percentile(longest, 99) / 1e6)
    found.add("replica_failure_changes", "walrus", changes)


# --- planned -----------------------------------------------------------------------------------

def rollover(times, found):
    """Segments of few records, so that each partition rolls again and again. What a roll costs is
    borne by the first record of the next segment."""
    with running(Walrus) as cluster:
        cluster.create_topic(TOPIC, times.few_partitions,
                             {"walrus.segment.records": times.roll_records})
        rate = times.few_partitions * times.roll_records / times.roll_every
        with watching("kafka", cluster.bootstrap, TOPIC, partitions=times.few_partitions, rate=rate,
                      record_bytes=1024) as watch:
            watch.read()
            time.sleep(times.run)
            entries = watch.end()
        firsts = {(partition, base) for partition, bases in cluster.segments(TOPIC).items()
                  for base in bases if base > 0}
    errors = acks.errors(entries)
    rolled, others = [], []
    for due, at, offset, partition, error in entries:
        if not error:
            (rolled if (partition, offset) in firsts else others).append(at - due)
    if not rolled:
        raise RuntimeError("nothing was rolled")
    extra = acks.percentile(rolled, 99) - acks.percentile(others, 99)
    print(f"    {len(rolled)} rolls: p99 of their first records "
          f"{acks.percentile(rolled, 99) / 1e6:.1f} ms, of all others "
          f"{acks.percentile(others, 99) / 1e6:.1f} ms", flush=True)
    found.add("rollover", "walrus", max(0, extra / 1e6))
    found.add_latency("rollover_first", "walrus", rolled)
    found.add("rollover_errors", "walrus", errors)


def planned_restart(times, found):
    """SIGTERM, its end, a start, its leaders back, and what comes after that: against as long a
    time in which nothing happens. Of each partition the longest latency counts."""
    aftermath = 3  # seconds: clients go over to leaders that came back within one
    during, quiet, errors = [], [], 0
    with running(Walrus) as cluster:
        cluster.create_topic(TOPIC, times.partitions)
        with watching("kafka", cluster.bootstrap, TOPIC, partitions=times.partitions,
                      rate=times.partition_rate * times.partitions) as watch:
            for restart in range(times.restarts):
                cluster.await_balance(TOPIC)
                cluster.await_settled()
                watch.read()
                victim = 1 + restart % len(cluster.nodes)
                begin = cluster.ask_to_end(victim)
                left = len(cluster.led_by(TOPIC, victim))
                cluster.start(victim)
                cluster.await_settled()
                cluster.await_balance(TOPIC)
                time.sleep(aftermath)
                end = time.monotonic_ns()
                time.sleep((end - begin) / SECOND + 1)
                entries = watch.read()
                errors += acks.errors(entries)
                during += acks.longest_latency(entries, begin, end).values()
                quiet += acks.longest_latency(entries, end, end + end - begin).values()
                told = [acks.percentile(longest, 99) / 1e6 for longest in (during, quiet)]
                print("    node {}, {:.1f} s, {} leaders not handed over: p99 of the longest of "
                      "each partition {:.0f} ms, quiet {:.0f} ms".format(
                          victim, (end - begin) / SECOND, left, *told), flush=True)
            errors += acks.errors(watch.end())
    extra = acks.percentile(during, 99) - acks.percentile(quiet, 99)
    found.add("restart", "walrus", max(0, extra / 1e6))
    found.add_latency("restart_longest", "walrus", during)
    found.add("restart_errors", "walrus", errors)


# --- a slow disk -------------------------------------------------------------------------------

def slow_disk(times, found):
    """A second more for each sync of one node: of a follower, then of the leader."""
    with running(Walrus, slow=True) as cluster:
        cluster.create_topic(TOPIC, 1)
        with watching("kafka", cluster.bootstrap, TOPIC, partitions=1, rate=1000, record_bytes=1024,
                      settings=("linger.ms=0",)) as watch:
            def measure():
                watch.read()
                begin = time.monotonic_ns()
                time.sleep(times.run / 3)
                end = time.monotonic_ns()
                time.sleep(3)  # until what was due then is acknowledged
                entries = watch.read()
                if errors := acks.errors(entries):
                    raise RuntimeError(f"{errors} failed records")
                return acks.latencies(entries, begin, end)
            leader = cluster.leaders(TOPIC)[0]
            found.add_latency("slow", "healthy", measure())
            for what, number in (("slow_follower", 1 + leader % 3), ("slow_leader", leader)):
                if cluster.leaders(TOPIC)[0] != leader:
                    raise RuntimeError("the leader has changed")
                cluster.slow_down(number, 1000)
                found.add_latency(what, "walrus", measure())
                cluster.slow_down(number, 0)
                # Its last slow sync returns, and what that held up is written: until then the
                # quorum is of the others alone.
                time.sleep(5)
            watch.end()


# --- throughput and latency ---------------------------------------------------------------------

def settings_of(kind):
    return {"retention.bytes": RETENTION_BYTES, "segment.bytes": SEGMENT_BYTES,
            **({"walrus.durability": "fsync"} if kind is Walrus else {})}


def throughput(times, found, kind, partitions, what):
    """As fast as one client can, and what the device wrote for it: until it has come to rest."""
    with running(kind) as cluster:
        cluster.create_topic(TOPIC, partitions, settings_of(kind))
        processes = [node.process.pid for node in cluster.nodes.values()]
        before = written(cluster, processes)
        cpu = sum(map(cpu_seconds, processes))
        told = load("produce", cluster.bootstrap, TOPIC, times, partitions=partitions,
                    **({"round_robin": True} if partitions > 1 else {}))
        cpu = sum(map(cpu_seconds, processes)) - cpu
        await_rest(processes, times)
        after = written(cluster, processes)
    device, by_nodes = (end - begin for end, begin in zip(after, before))
    moved = told["bytes"] * (times.run + times.warm) / times.run
    found.add(what, kind.name, told["bytes"] / told["seconds"] / 1e6)
    found.add(f"{what}_cpu", kind.name, cpu / (moved / 1e9))
    found.add(f"{what}_device", kind.name, device / moved)
    found.add(f"{what}_written", kind.name, by_nodes / moved)


def written(cluster, processes):
    os.sync()
    return systems.device_written(cluster.directory), sum(map(systems.written_by, processes))


def await_rest(processes, times):
    """Until the nodes write nothing more, or for as long as the run took."""
    end, before = time.monotonic() + times.run, None
    while time.monotonic() < end:
        now = sum(map(systems.written_by, processes))
        if before is not None and now - before < 1 << 20:
            return
        before = now
        time.sleep(1)


def one_partition(times, found, kind):
    throughput(times, found, kind, 1, "one")


def thousand_partitions(times, found, kind):
    throughput(times, found, kind, times.partitions, "wide")


def replication(times, found):
    """Open loop at a fifth of what three nodes reached in this round; then the single server."""
    rate = kib(found.last("one", "walrus") * 1e6) / 5
    options = {"rate": f"{rate:.0f}", "settings": ("linger.ms=0",)}
    found.rates.append(rate)
    with running(Walrus) as cluster:
        cluster.create_topic(TOPIC, 1, settings_of(Walrus))
        told = load("produce", cluster.bootstrap, TOPIC, times, **options)
        found.add_told("replication", "walrus", told["latency_us"])
    with single() as server:
        server.ok("topic", "create", TOPIC)
        told = load("produce", server.kafka, TOPIC, times, **options)
        found.add_told("replication", "single", told["latency_us"])
    found.add("replication_p50_extra", "walrus",
              found.last_told("replication", "walrus")["p50"]
              - found.last_told("replication", "single")["p50"])


@contextlib.contextmanager
def single():
    """A server alone."""
    directory = systems.DATA / "single"
    shutil.rmtree(directory, ignore_errors=True)
    server = walrus.Server(directory / "data").start()
    try:
        yield server
    finally:
        server.stop()
        server.close()
        shutil.rmtree(directory, ignore_errors=True)


# --- idle and cold -----------------------------------------------------------------------------

def idle(times, found):
    """Each partition was written to once; then nobody does anything. The worst of the nodes."""
    with running(Walrus) as cluster:
        topics = max(1, times.idle_partitions // 1000)
        partitions = times.idle_partitions // topics
        for number in range(topics):
            cluster.create_topic(f"idle{number}", partitions)
            load("produce", cluster.bootstrap, f"idle{number}", dataclasses.replace(times, warm=0),
                 partitions=partitions, round_robin=True, records=partitions)
        cluster.await_settled()
        time.sleep(times.settle)
        processes = [node.process.pid for node in cluster.nodes.values()]
        before, begin = list(map(cpu_seconds, processes)), time.monotonic()
        time.sleep(times.run / 2)
        seconds = time.monotonic() - begin
        spent = [(cpu_seconds(pid) - then) / seconds for pid, then in zip(processes, before)]
        found.add("idle_cpu", "walrus", max(spent) * 100)
        found.add("idle_memory", "walrus", max(map(resident_anonymous, processes)) / 1e6)


def cold_start(times, found):
    """A node with so much is killed while it is written to, its pages leave the cache, and it
    starts: until a PUT through it is acknowledged."""
    with running(Walrus) as cluster:
        cluster.create_topic(TOPIC, times.few_partitions)
        load("produce", cluster.bootstrap, TOPIC, dataclasses.replace(times, warm=0),
             partitions=times.few_partitions, round_robin=True, records=times.cold_bytes >> 10)
        cluster.running()[-1].ok("topic", "create", "probe")
        victim = 1
        directory = pathlib.Path(cluster.nodes[victim].directory)
        with watching("kafka", cluster.bootstrap, TOPIC, partitions=times.few_partitions, rate=1000,
                      record_bytes=1024):
            cluster.kill(victim)
        size = drop_from_cache(directory)
        begin = time.monotonic()
        thread = threading.Thread(target=cluster.start, args=(victim,))
        thread.start()
        walrus.wait_until(lambda: accepts(cluster.nodes[victim].listen), "an acknowledged PUT",
                          systems.SECONDS)
        found.add("cold_start", "walrus", time.monotonic() - begin)
        found.add("cold_bytes", "walrus", size / 1e9)
        thread.join()


def accepts(address):
    """Whether a PUT there is acknowledged."""
    try:
        with walrus.Native(address, 5) as connection:
            return connection.ask("PUT probe x") == b"OK"
    except (OSError, EOFError):
        return False


def drop_from_cache(directory):
    """Every file's pages, once they are on the disk; the bytes of all files."""
    total = 0
    for path in directory.rglob("*"):
        if not path.is_file():
            continue
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            total += os.fstat(file).st_blocks * 512
        finally:
            os.close(file)
    return total
