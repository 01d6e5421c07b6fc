#!/usr/bin/env python3
"""./dev bench kafka: the same load on Walrus and on a real Kafka, each alone on the machine.

Rows go to build/bench/kafka.json, the page to docs/benchmarks/kafka.md (behind kafka.intro.md) and
kafka.svg. Each round starts every system anew, in an empty directory; a row is the median of its
rounds. The load is walrus_bench_kafka (kafka/load.h).

usage: kafka_bench.py [--check] [--rounds N] [--short] [--only ROW]... [--report]
--short  runs of a few seconds, to see that each row works: writes kafka.short.json and no page
exit status: 0 = all rows were measured; 1 = a run failed, or with --check a target was missed
"""

import contextlib
import dataclasses
import json
import pathlib
import shutil
import statistics
import struct
import subprocess
import sys
import time

import report
from rows import OUT, ROOT, Rows, options

sys.path[:0] = [str(ROOT / "tests/e2e"), str(ROOT / "tools/peers"),
                str(ROOT / "tests/conformance")]

import batches  # noqa: E402
import kafka_node  # noqa: E402
import peers  # noqa: E402
import raw_socket  # noqa: E402
import walrus  # noqa: E402

BUILD = ROOT / "build/release"
LOAD = BUILD / "bin/walrus_bench_kafka"
DATA = OUT / "kafka-data"
GB = 1e9
TICKS = 100  # of /proc/PID/stat per second
PARTITIONS = 4  # of the throughput topic
# Old records are removed while new ones come, by both: a run needs no more disk than this.
RETENTION_BYTES, SEGMENT_BYTES = 1 << 30, 256 << 20


@dataclasses.dataclass
class Times:
    """Seconds of each part of a run."""
    run: float = 60
    warm: float = 30
    stored: int = 1_000_000  # records that the consumer reads again and again
    rounds: int = 3
    perf_test: int = 5_000_000  # records of Java's producer-perf-test


SHORT = Times(run=2, warm=1, stored=20_000, rounds=1, perf_test=50_000)


# --- the systems ------------------------------------------------------------------------------

class System:
    """One broker of one durability, started in an empty directory, alone on the machine."""

    def __init__(self, name, durable):
        self.name, self.durable = name, durable
        self.directory = DATA / name

    @contextlib.contextmanager
    def running(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        node = self.node()
        node.start()
        try:
            yield node
        finally:
            node.stop()
            node.close()
            shutil.rmtree(self.directory, ignore_errors=True)

    def topic(self, node, name, partitions):
        settings = {"retention.bytes": RETENTION_BYTES, "segment.bytes": SEGMENT_BYTES,
                    **self.topic_settings()}
        raw_socket.create_topic(node.kafka, name, partitions, settings)


class Walrus(System):
    def node(self):
        return walrus.Server(self.directory / "data",
                             "--set", "log.maintenance_interval_ms=1000")

    def topic_settings(self):
        return {"walrus.durability": "fsync" if self.durable else "os"}


class Kafka(System):
    def node(self):
        # Its own start script's heap. Retention is looked at as often as Walrus does.
        return kafka_node.KafkaNode(
            self.directory / "node", heap="1g",
            options=("-server", "-Xms1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
                     "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent"),
            log_retention_check_interval_ms=1000)

    def topic_settings(self):
        return {"flush.messages": 1} if self.durable else {}


SYSTEMS = {"walrus.fsync": Walrus("walrus.fsync", True), "walrus.os": Walrus("walrus.os", False),
           "kafka.default": Kafka("kafka.default", False),
           "kafka.flush": Kafka("kafka.flush", True)}


@contextlib.contextmanager
def discarding(partitions=PARTITIONS):
    """The address of the broker that answers and keeps nothing."""
    process = subprocess.Popen([LOAD, "discard", "--partitions", str(partitions)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().split()[1]
    finally:
        process.stdin.close()
        process.wait()


# --- one measurement --------------------------------------------------------------------------

def load(verb, address, topic, times, **options):
    """What one run of the load found. A run with errors measures nothing."""
    words = [LOAD, verb, "--address", address, "--topic", topic,
             "--seconds", times.run, "--warm", times.warm]
    for setting in options.pop("settings", ()):
        words += ["-X", setting]
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        words += [flag] if value is True else [flag, value]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{verb} {topic}: {done.stderr.strip()}")
    result = json.loads(done.stdout)
    if result["errors"]:
        raise RuntimeError(f"{verb} {topic}: {result['errors']} errors: {done.stderr.strip()}")
    return result


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_anonymous(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024


def with_cpu(node, work, times):
    """The result of a load, and the broker's CPU seconds per GB of it. Warming up is part of the
    time over which both are counted: the load itself is the same."""
    before = cpu_seconds(node.process.pid)
    result = work()
    spent = cpu_seconds(node.process.pid) - before
    moved = result["bytes"] * (times.run + times.warm) / times.run
    result["cpu_per_gb"] = spent / (moved / GB) if moved else 0
    return result


def throughput(system, times, found):
    with system.running() as node:
        system.topic(node, "load", PARTITIONS)
        told = with_cpu(node, lambda: load("produce", node.kafka, "load", times), times)
        found.add("throughput", system.name, told["bytes"] / told["seconds"] / 1e6)
        found.add("cpu", system.name, told["cpu_per_gb"])


def ceiling(times, found):
    with discarding() as address:
        told = load("produce", address, "load", times)
        found.add("throughput", "discard", told["bytes"] / told["seconds"] / 1e6)


def paced(system, times, found):
    """Open loop at half of what the slower of the two durable systems reached in this round."""
    rate = min(found.last("throughput", name) for name in ("walrus.fsync", "kafka.flush"))
    rate = rate * 1e6 / 1024 / 2
    with system.running() as node:
        system.topic(node, "load", PARTITIONS)
        told = load("produce", node.kafka, "load", times, rate=f"{rate:.0f}")
        found.add_latency("half_rate", system.name, told["latency_us"])
        found.rates.append(rate)


def produce_one_by_one(address, name, times, found):
    told = load("one-by-one", address, "one", times)
    found.add_latency("linger0", name, told["latency_us"])


def one_by_one(system, times, found):
    with system.running() as node:
        system.topic(node, "one", 1)
        produce_one_by_one(node.kafka, system.name, times, found)


def linger0_floor(times, found):
    with discarding(1) as address:
        produce_one_by_one(address, "discard", times, found)


def produce_wide(address, name, times, found):
    told = load("produce", address, "wide", times, partitions=1000, round_robin=True)
    found.add("wide", name, told["records"] / told["seconds"])


def thousand_partitions(system, times, found):
    with system.running() as node:
        system.topic(node, "wide", 1000)
        produce_wide(node.kafka, system.name, times, found)


def wide_ceiling(times, found):
    with discarding(1000) as address:
        produce_wide(address, "discard", times, found)


def cached(system, times, found):
    with system.running() as node:
        system.topic(node, "read", PARTITIONS)
        once = dataclasses.replace(times, warm=0)
        load("produce", node.kafka, "read", once, records=times.stored)
        told = with_cpu(node, lambda: load("consume", node.kafka, "read", times,
                                           partitions=PARTITIONS), times)
        found.add("consume", system.name, told["bytes"] / told["seconds"] / 1e6)
        found.add("consume_cpu", system.name, told["cpu_per_gb"])


def idle_and_start(system, times, found):
    """Memory with 1,000 partitions that rest, each of which was written to once; then, with them,
    the time from the start of the process to the first acknowledgement."""
    with system.running() as node:
        system.topic(node, "wide", 1000)
        load("produce", node.kafka, "wide", dataclasses.replace(times, warm=0), partitions=1000,
             round_robin=True, records=1000)
        time.sleep(times.run / 6)  # what follows writing is over: checkpoints, collections
        found.add("memory", system.name, resident_anonymous(node.process.pid) / 1e6)
        node.stop()
        address = node.kafka
        if isinstance(node, walrus.Server):
            node.kafka_listen = address
        begin = time.monotonic()
        starter = start_only(node)
        raw_socket.first_acknowledgement(address, "wide", batches.batch(value=bytes(1024)))
        found.add("start", system.name, (time.monotonic() - begin) * 1e3)
        starter()


def start_only(node):
    """Starts the process and does not wait for it; what waits for the rest."""
    if isinstance(node, walrus.Server):
        import threading
        thread = threading.Thread(target=node.start)
        thread.start()
        return thread.join
    node.process = subprocess.Popen(node.java("kafka.Kafka", node.properties),
                                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.STDOUT)
    return lambda: None


def perf_test(system, times, found):
    """Java's own, with its defaults and acks=all; for the record. By number, not by time."""
    records = times.perf_test // 10 if system.name == "kafka.flush" else times.perf_test
    with system.running() as node:
        system.topic(node, "perf", PARTITIONS)
        done = subprocess.run(
            peers.java("org.apache.kafka.tools.ProducerPerformance", "--topic", "perf",
                       "--num-records", records, "--record-size", 1024, "--throughput",
                       -1, "--producer-props", f"bootstrap.servers={node.kafka}", "acks=all",
                       heap="1g"),
            capture_output=True, text=True)
        last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr
        if "MB/sec" not in last:
            raise RuntimeError(f"producer-perf-test: {last[-300:]}")
        found.add("perf_test", system.name, float(last.split("(")[1].split()[0]) * 1.048576)


# --- rows -------------------------------------------------------------------------------------

class Found:
    """Every figure of every round: what, of which system."""

    def __init__(self):
        self.values, self.latencies, self.rates = {}, {}, []

    def add(self, what, system, value):
        self.values.setdefault((what, system), []).append(value)
        print(f"  {what} {system}: {report.number(value)}", flush=True)

    def add_latency(self, what, system, told):
        self.latencies.setdefault((what, system), []).append(told)
        print(f"  {what} {system}: " + " ".join(f"{k} {v:,.0f}" for k, v in told.items()) + " us",
              flush=True)

    def last(self, what, system):
        return self.values[what, system][-1]

    def rounds(self, what, system):
        if (what, system) in self.values:
            return self.values[what, system]
        what, percentile = what.rsplit(":", 1)
        return [told[percentile] for told in self.latencies[what, system]]


@dataclasses.dataclass
class Spec:
    """A row: what is compared, and what it must reach."""
    name: str
    what: str
    ours: str
    theirs: str
    unit: str
    better: str = "higher"
    target: float | None = None
    target_of: str | None = "ratio"
    conditions: str = ""


THROUGHPUT = (f"1 KiB records, {PARTITIONS} partitions, acks=all, librdkafka's default batching; "
              "Walrus {}, Kafka {}")
SPECS = [
    Spec("produce.fsync", "throughput", "walrus.fsync", "kafka.default", "MB/s", target=1,
         conditions=THROUGHPUT.format("syncs before it answers", "without sync (its default)")),
    Spec("produce.fsync.flush", "throughput", "walrus.fsync", "kafka.flush", "MB/s", target=None,
         conditions=THROUGHPUT.format("syncs before it answers", "with flush.messages=1")),
    Spec("produce.os", "throughput", "walrus.os", "kafka.default", "MB/s", target=2,
         conditions=THROUGHPUT.format("with durability os", "without sync (its default)") +
         "; 85 % of produce.ceiling will do as well"),
    Spec("produce.ceiling", "throughput", "walrus.os", "discard", "MB/s", target=None,
         conditions="against a broker that answers and keeps nothing: what the load itself can"),
    Spec("produce.half_rate.p50", "half_rate:p50", "walrus.fsync", "kafka.flush", "us", "lower"),
    Spec("produce.half_rate.p99", "half_rate:p99", "walrus.fsync", "kafka.flush", "us", "lower",
         target=1 / 5),
    Spec("produce.linger0.p50", "linger0:p50", "walrus.fsync", "kafka.flush", "us", "lower",
         target=1 / 3),
    Spec("produce.linger0.p99", "linger0:p99", "walrus.fsync", "kafka.flush", "us", "lower",
         target=1 / 3),
    Spec("produce.linger0.floor", "linger0:p50", "walrus.fsync", "discard", "us", "lower",
         target=None),
    Spec("produce.1000partitions", "wide", "walrus.fsync", "kafka.flush", "records/s", target=20,
         conditions="one producer, 1,000 partitions in turn, so that batches are small; both "
                    "sync before they answer"),
    Spec("produce.1000partitions.ceiling", "wide", "walrus.fsync", "discard", "records/s",
         target=None, conditions="the same against a broker that answers and keeps nothing: what "
                                 "the load itself can"),
    Spec("consume.cached", "consume", "walrus.os", "kafka.default", "MB/s", target=1,
         conditions="the same records again and again, from memory"),
    Spec("consume.cached.cpu", "consume_cpu", "walrus.os", "kafka.default", "s/GB", "lower",
         target=1, conditions="CPU seconds of the broker per GB read"),
    Spec("cpu.per_gb", "cpu", "walrus.fsync", "kafka.default", "s/GB", "lower", target=1 / 2,
         conditions="CPU seconds of the broker per GB produced, each at its default durability"),
    Spec("cpu.per_gb.os", "cpu", "walrus.os", "kafka.default", "s/GB", "lower", target=None,
         conditions="CPU seconds of the broker per GB produced, neither syncs"),
    Spec("cpu.per_gb.flush", "cpu", "walrus.fsync", "kafka.flush", "s/GB", "lower", target=None,
         conditions="CPU seconds of the broker per GB produced, both sync"),
    Spec("memory.1000partitions", "memory", "walrus.fsync", "kafka.default", "MB", "lower",
         target=100, target_of="value", conditions="RssAnon, each partition written to once"),
    Spec("start", "start", "walrus.fsync", "kafka.default", "ms", "lower", target=200,
         target_of="value", conditions="start of the process to the first acknowledged record, "
         "with 1,000 partitions"),
    Spec("java.perf_test", "perf_test", "walrus.fsync", "kafka.default", "MB/s", target=None,
         conditions="Java's producer-perf-test, acks=all, 1 KiB records"),
    Spec("java.perf_test.flush", "perf_test", "walrus.fsync", "kafka.flush", "MB/s", target=None,
         conditions="Java's producer-perf-test, acks=all, 1 KiB records, both sync"),
]
# What is measured, of which systems, in the order of a round.
DURABLE = ("walrus.fsync", "kafka.flush")
DEFAULT = ("walrus.os", "kafka.default")
STEPS = [("throughput", throughput, (*DURABLE, *DEFAULT)), ("ceiling", ceiling, ()),
         ("half_rate", paced, DURABLE), ("linger0", one_by_one, DURABLE),
         ("linger0_floor", linger0_floor, ()),
         ("wide", thousand_partitions, DURABLE), ("wide_ceiling", wide_ceiling, ()),
         ("consume", cached, DEFAULT),
         ("idle", idle_and_start, ("walrus.fsync", "kafka.default")),
         ("perf_test", perf_test, ("walrus.fsync", "kafka.default", "kafka.flush"))]
NEEDS = {"throughput": {"throughput", "ceiling"}, "cpu": {"throughput"},
         "half_rate": {"throughput", "half_rate"}, "linger0": {"linger0", "linger0_floor"},
         "wide": {"wide", "wide_ceiling"},
         "consume_cpu": {"consume"}, "memory": {"idle"}, "start": {"idle"}}


def steps_of(only):
    """The steps that the rows asked for need."""
    if not only:
        return STEPS
    wanted = set()
    for spec in SPECS:
        if spec.name in only:
            what = spec.what.split(":")[0]
            wanted |= NEEDS.get(what, {what})
    return [step for step in STEPS if step[0] in wanted]


def estimate(steps, times):
    """Seconds, from what a run and a start take."""
    total = 0
    for name, _, systems in steps:
        for system in systems or ("discard",):
            total += 12 if system.startswith("kafka") else 3
            total += {"idle": 25 + times.run / 6, "perf_test": times.perf_test / 80_000,
                      "consume": times.warm + times.run + times.stored / 80_000}.get(
                name, times.warm + times.run)
            if name == "wide" and system == "kafka.flush":
                total += 20
    return total * times.rounds


def met(spec, value, ratio, found):
    if spec.target is None:
        return None
    reached = ratio if spec.target_of == "ratio" else value
    good = reached >= spec.target if spec.better == "higher" else reached <= spec.target
    if spec.name == "produce.os" and ("throughput", "discard") in found.values:
        good = good or value >= 0.85 * statistics.median(found.rounds("throughput", "discard"))
    return good


def conditions_of(spec, times, found):
    text = spec.conditions
    if spec.what.startswith("half_rate"):
        rates = ", ".join(f"{rate:,.0f}" for rate in found.rates[::2])
        text = (f"open loop at {rates} records/s, half of the slower one's maximum in each round; "
                "both sync before they answer; from when a record was due")
    if spec.what.startswith("linger0"):
        text = "linger 0, one record in flight, 1 KiB; " + (
            "against a broker that answers and keeps nothing: what the client and the loopback take"
            if spec.theirs == "discard" else "both sync before they answer")
    timed = spec.what.split(":")[0] not in ("memory", "start", "perf_test")
    return text + (f"; {times.run:g} s after {times.warm:g} s of the same load" if timed else "")


def rows_of(found, times):
    rows = []
    for spec in SPECS:
        try:
            ours, theirs = (found.rounds(spec.what, name) for name in (spec.ours, spec.theirs))
        except (KeyError, ValueError):
            continue
        value, peer = statistics.median(ours), statistics.median(theirs)
        ratio = value / peer if peer else None
        row = {"name": spec.name, "value": value, "unit": spec.unit, "better": spec.better,
               "peer": "discarding broker" if spec.theirs == "discard" else
               f"Kafka {peers.VERSIONS['maven']['kafka']}",
               "peer_value": peer, "ratio": ratio, "target": spec.target,
               "target_of": spec.target_of if spec.target is not None else None,
               "met": met(spec, value, ratio, found), "rounds": ours, "peer_rounds": theirs,
               "conditions": conditions_of(spec, times, found)}
        if ":" in spec.what:
            what = spec.what.split(":")[0]
            row["latency_us"], row["peer_latency_us"] = (
                {key: statistics.median(told[key] for told in found.latencies[what, name])
                 for key in ("p50", "p90", "p99", "p99.9")} for name in (spec.ours, spec.theirs))
        rows.append(row)
    return rows


def peer_latencies(rows):
    out = ["", "## Latencies of Kafka, microseconds", "",
           "| row | p50 | p90 | p99 | p99.9 |", "|---|---:|---:|---:|---:|"]
    for row in rows:
        if "peer_latency_us" in row:
            out.append(f"| `{row['name']}` | "
                       + " | ".join(f"{value:,.1f}" for value in row["peer_latency_us"].values())
                       + " |")
    out += ["", "## Kafka's rounds", ""]
    out += [f"- `{row['name']}`: " + ", ".join(map(report.number, row["peer_rounds"])) + "."
            for row in rows]
    return "\n".join(out) + "\n"


def measure(steps, times, save):
    """All rounds; the names of steps that failed."""
    found, failed = Found(), []
    for turn in range(times.rounds):
        for name, step, systems in steps:
            print(f"round {turn + 1}: {name}", flush=True)
            try:
                if not systems:
                    step(times, found)
                # Who goes first alternates.
                for system in systems if turn % 2 == 0 else systems[::-1]:
                    step(SYSTEMS[system], times, found)
            except (RuntimeError, AssertionError, OSError, KeyError, struct.error) as error:
                failed.append(f"{name}: {error}")
                print(f"  FAILED: {error}", flush=True)
        save(rows_of(found, times))
    return rows_of(found, times), failed


def main():
    parser = options("kafka", __doc__.split("\n")[0])
    args = parser.parse_args()
    if unknown := set(args.only or ()) - {spec.name for spec in SPECS}:
        parser.error(f"no such row: {' '.join(unknown)}")
    kept = Rows("kafka", SPECS, args)
    times = SHORT if args.short else Times()
    times = dataclasses.replace(times, rounds=args.rounds or times.rounds)
    failed, rows = [], []
    if not args.report:
        steps = steps_of(args.only)
        peers.kafka_jars()
        print(f"about {estimate(steps, times) / 60:.0f} minutes", flush=True)
        rows, failed = measure(steps, times, kept.save)
        shutil.rmtree(DATA, ignore_errors=True)
    return kept.finish(rows, failed, peer_latencies)


if __name__ == "__main__":
    sys.exit(main())
