#!/usr/bin/env python3
"""./dev bench cluster: three local nodes, and three of a real Kafka, each alone on the machine.

Rows go to build/bench/cluster.json, the page to docs/benchmarks/cluster.md (behind
cluster.intro.md) and cluster.svg. Each case of a round starts its cluster anew, in empty
directories; a row is the median of its rounds. What is done is in cluster/trials.py; the load and
the clients that watch are walrus_bench_kafka (kafka/load.h, kafka/watch.h).

usage: cluster_bench.py [--check] [--rounds N] [--seconds N] [--short] [--only ROW-OR-CASE]...
                        [--report]
--short  runs of a few seconds, to see that each row works: writes cluster.short.json and no page
exit status: 0 = all rows were measured; 1 = a run failed, or with --check a target was missed
"""

import dataclasses
import pathlib
import shutil
import statistics
import struct
import subprocess
import sys
import time

import report
from rows import ROOT, Rows, options

sys.path.insert(0, str(ROOT / "bench/cluster"))

import acks  # noqa: E402
import systems  # noqa: E402
import trials  # noqa: E402
from systems import Kafka, Walrus  # noqa: E402

QUIET = 0.05  # of the machine: others that use less disturb nothing


@dataclasses.dataclass
class Times:
    """Seconds and numbers of each part of a round."""
    run: float = 60
    warm: float = 30
    rounds: int = 3
    partitions: int = 1000
    partition_rate: float = 5  # records per second of each of them and each client that watches
    few_partitions: int = 12
    kills: int = 34  # three rounds: more than 100
    kafka_kills: int = 2
    stops: int = 6
    cuts: int = 6
    failures: int = 3
    replica_window: float = 15  # seconds that are looked at after one
    restarts: int = 3
    roll_records: int = 500
    roll_every: float = 10
    idle_partitions: int = 10_000
    settle: float = 60  # until what followed the writing is over
    cold_bytes: int = 10 << 30


SHORT = Times(run=6, warm=1, rounds=1, partitions=60, kills=2, kafka_kills=1, stops=1, cuts=1,
              failures=1, replica_window=12, restarts=1, roll_every=2, roll_records=50,
              idle_partitions=200, settle=2, cold_bytes=64 << 20)


# --- what was found ----------------------------------------------------------------------------

class Found:
    """Every figure of every round: what, of which system."""

    def __init__(self):
        self.values, self.told, self.rates = {}, {}, []

    def add(self, what, system, value):
        self.values.setdefault((what, system), []).append(value)
        print(f"  {what} {system}: {report.number(value)}", flush=True)

    def add_told(self, what, system, told):
        """Percentiles in microseconds."""
        self.told.setdefault((what, system), []).append(told)
        print(f"  {what} {system}: " + " ".join(f"{k} {v:,.0f}" for k, v in told.items()) + " us",
              flush=True)

    def add_latency(self, what, system, nanoseconds):
        self.add_told(what, system, acks.percentiles(nanoseconds))

    def add_outages(self, kind, samples, system=None):
        for client, nanoseconds in samples.items():
            name = system or {"kafka": "librdkafka", "native": "native"}[client]
            self.add_latency(f"outage_{kind}", name, nanoseconds)

    def last(self, what, system):
        return self.values[what, system][-1]

    def last_told(self, what, system):
        return self.told[what, system][-1]

    def rounds(self, what, system, percentile=None, scale=1.0, needed=True):
        """None: there are none, and they are not needed."""
        found = self.values if percentile is None else self.told
        if not needed and (what, system) not in found:
            return None
        if percentile is None:
            return found[what, system]
        return [told[percentile] * scale for told in found[what, system]]


@dataclasses.dataclass
class Spec:
    """A row: what is looked at, against whom, and what it must reach."""
    name: str
    cases: tuple
    what: str
    unit: str
    of: str = "walrus"
    percentile: str | None = None  # of told percentiles, which are microseconds
    scale: float = 1.0  # of those, to `unit`
    against: str | None = None
    against_what: str | None = None  # where it is not the same as `what`
    better: str = "lower"
    target: float | None = None
    target_of: str = "value"
    conditions: str = ""


PEERS = {"kafka": "Kafka", "healthy": "healthy", "single": "single server"}
SECONDS, MILLIS = 1e-6, 1e-3  # of microseconds

EACH = ("{t.partitions}", "{t.partition_rate:g}")
OUTAGE = ("{} partitions, RF 3, fsync; of each partition that the node led, from the last "
          "acknowledgement before to the first after it; each client alone, it writes {} records/s "
          "to each partition, so that the time between two of them is part of it; {}")
KILL = OUTAGE.format(*EACH, "kill -9, {t.kills} a round and client, each third one of "
                     "the leader of metadata")
SILENT = ("; clients give up a silent server after 1 s (librdkafka: socket.timeout.ms, its default "
          "is 60 s)")
STOP = OUTAGE.format(*EACH, "SIGSTOP, {t.stops} a round" + SILENT)
CUT = OUTAGE.format(*EACH, "the leader hears no other node and no node it, clients "
                    "reach it, {t.cuts} a round" + SILENT)
PACED = "{t.few_partitions} partitions, 1,000 records/s of 1 KiB by an idempotent librdkafka client"
THROUGHPUT = ("1 KiB records, RF 3, acks=all, one librdkafka client; Walrus syncs before it "
              "answers, Kafka does not (its default); {t.run:g} s after {t.warm:g} s of the same "
              "load")
OPEN_LOOP = ("open loop at {rates} records/s of 1 KiB, a fifth of the three-node maximum of the "
             "round, one partition, linger 0; from when a record was due")


def outage_specs(kind, text, targets, against=None):
    case = {"kill": ("kill", "kill_kafka"), "stop": ("stop",), "partition": ("partition",)}[kind]
    for client, infix in (("librdkafka", ""), ("native", "native.")):
        for percentile, target in targets.items():
            kafka = against if client == "librdkafka" else None
            yield Spec(f"outage.{kind}.{infix}{percentile}", case if kafka else case[:1],
                       f"outage_{kind}", "s", client, percentile, SECONDS, kafka, target=target,
                       conditions=text)


SPECS = [
    *outage_specs("kill", KILL, {"p50": 0.5, "p99": 1.5}, "kafka"),
    Spec("outage.kill.failed", ("kill",), "kill_failed", "records", target=0,
         conditions="records that a client was told are not stored, all kills"),
    Spec("outage.metadata.failed", ("kill",), "metadata_failed", "records", target=0,
         conditions="the same, kills of the leader of metadata"),
    *outage_specs("stop", STOP, {"p50": None, "p99": 3}),
    *outage_specs("partition", CUT, {"p50": None, "p99": 3}),
    Spec("replica_failure.p99", ("replica_failure",), "replica_failure", "ms", percentile="p99",
         scale=MILLIS, target=50,
         conditions=PACED + "; records of partitions led elsewhere that were due in the "
         "{t.replica_window:g} s after kill -9 of a node, its detection and the roll without it "
         "included"),
    Spec("replica_failure.stall.p99", ("replica_failure",), "replica_failure_stall", "ms",
         conditions="the same, of each partition and failure the longest"),
    Spec("replica_failure.leader_changes", ("replica_failure",), "replica_failure_changes",
         "partitions", target=0, conditions="led elsewhere, and by another node afterwards"),
    Spec("rollover.p99", ("rollover",), "rollover", "ms", target=50,
         conditions="{t.few_partitions} partitions that roll every {t.roll_every:g} s; p99 of the "
         "first records of segments, less that of all other records"),
    Spec("rollover.errors", ("rollover",), "rollover_errors", "records", target=0,
         conditions="records that failed in that time"),
    Spec("restart.p99", ("restart",), "restart", "ms", target=100,
         conditions="{t.partitions} partitions; SIGTERM, start, leaders back, three seconds more, "
         "{t.restarts} a round; of each partition the longest latency in that time, p99, less "
         "that of as long a time in which nothing happens"),
    Spec("restart.errors", ("restart",), "restart_errors", "records", target=0,
         conditions="records that failed in that time"),
    Spec("slow_follower.p99", ("slow_disk",), "slow_follower", "us", percentile="p99",
         against="healthy", against_what="slow", target=2, target_of="ratio",
         conditions="one partition, 1,000 records/s of 1 KiB, linger 0; each sync of one follower "
         "takes 1 s longer"),
    Spec("slow_leader.p99", ("slow_disk",), "slow_leader", "us", percentile="p99",
         against="healthy", against_what="slow", target=2, target_of="ratio",
         conditions="the same, each sync of the leader"),
    Spec("produce.1topic", ("one",), "one", "MB/s", against="kafka", better="higher", target=1.5,
         target_of="ratio", conditions=THROUGHPUT + "; one partition"),
    Spec("produce.1topic.cpu", ("one",), "one_cpu", "s/GB", against="kafka",
         conditions="CPU seconds of the three nodes per GB acknowledged"),
    Spec("produce.1topic.device", ("one",), "one_device", "bytes/byte", against="kafka", target=7,
         conditions="bytes that the device wrote per byte acknowledged, three copies, until the "
         "nodes came to rest; by anybody, so nothing else may write"),
    Spec("produce.1topic.written", ("one",), "one_written", "bytes/byte", against="kafka",
         conditions="the same, of the nodes alone as the kernel tells them apart"),
    Spec("produce.1000partitions", ("wide",), "wide", "MB/s", against="kafka", better="higher",
         target=1.5, target_of="ratio",
         conditions=THROUGHPUT + "; {t.partitions} partitions in turn"),
    Spec("produce.1000partitions.cpu", ("wide",), "wide_cpu", "s/GB", against="kafka",
         conditions="CPU seconds of the three nodes per GB acknowledged"),
    Spec("produce.1000partitions.device", ("wide",), "wide_device", "bytes/byte", against="kafka",
         target=7, conditions="as produce.1topic.device"),
    Spec("produce.1000partitions.written", ("wide",), "wide_written", "bytes/byte",
         against="kafka", conditions="as produce.1topic.written"),
    Spec("replication.p50", ("one", "replication"), "replication", "us", percentile="p50",
         against="single", conditions=OPEN_LOOP),
    Spec("replication.p50.extra", ("one", "replication"), "replication_p50_extra", "us",
         target=250, conditions="the same, what three nodes take more than a single server"),
    Spec("replication.p99", ("one", "replication"), "replication", "us", percentile="p99",
         against="single", target=2, target_of="ratio", conditions=OPEN_LOOP),
    Spec("idle.cpu", ("idle",), "idle_cpu", "% of a core", target=3,
         conditions="{t.idle_partitions:,} partitions, each written to once, then nothing; the "
         "worst of the three nodes"),
    Spec("idle.memory", ("idle",), "idle_memory", "MB", target=150, conditions="the same, RssAnon"),
    Spec("cold_start", ("cold_start",), "cold_start", "s", target=3,
         conditions="a node that holds {cold:.3g} GB on disk is killed while it is written to, its "
         "files leave the page cache; from the start of the process to a PUT through it that is "
         "acknowledged"),
]
NAMES = {spec.name for spec in SPECS}
# What is measured, of which systems, in the order of a round.
CASES = {
    "kill": (trials.kill_leaders, ()), "kill_kafka": (trials.kill_kafka, ()),
    "stop": (trials.stop_leaders, ()), "partition": (trials.cut_leaders, ()),
    "replica_failure": (trials.replica_failure, ()), "rollover": (trials.rollover, ()),
    "restart": (trials.planned_restart, ()), "slow_disk": (trials.slow_disk, ()),
    "one": (trials.one_partition, (Walrus, Kafka)),
    "replication": (trials.replication, ()),
    "wide": (trials.thousand_partitions, (Walrus, Kafka)),
    "idle": (trials.idle, ()), "cold_start": (trials.cold_start, ()),
}


def cases_of(only):
    """The cases asked for, and those that the rows asked for need, in the order of a round."""
    wanted = set(only or CASES) & set(CASES)
    for spec in SPECS:
        if only and spec.name in only:
            wanted |= set(spec.cases)
    if "replication" in wanted:
        wanted.add("one")
    return [name for name in CASES if name in wanted]


def estimate(names, times):
    """Minutes, from what a run and a start take."""
    incident = 20  # until the leaders of a node that came back are back
    seconds = {
        "kill": 2 * times.kills * 10, "kill_kafka": times.kafka_kills * 40,
        "stop": 2 * times.stops * incident, "partition": 2 * times.cuts * incident,
        "replica_failure": times.failures * (incident + times.replica_window),
        "rollover": times.run, "restart": times.restarts * 40, "slow_disk": times.run,
        "one": 2.5 * (times.run + times.warm), "wide": 2.5 * (times.run + times.warm),
        "replication": 2 * (times.run + times.warm),
        "idle": times.settle + times.run / 2 + times.idle_partitions / 200,
        "cold_start": times.cold_bytes / 50e6,
    }
    return sum(10 + seconds[name] for name in names) * times.rounds / 60


# --- rows --------------------------------------------------------------------------------------

def busy_share(seconds=3):
    """How much of the machine is used while nothing of this runs."""
    def used():
        fields = list(map(int, pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:]))
        return sum(fields) - fields[3] - fields[4], sum(fields)
    before = used()
    time.sleep(seconds)
    after = used()
    return (after[0] - before[0]) / max(1, after[1] - before[1])


def peer_name(against):
    if against == "kafka":
        return f"Kafka {systems.kafka_node.peers.VERSIONS['maven']['kafka']}"
    return PEERS.get(against)


def row_of(spec, found, times, others):
    ours = found.rounds(spec.what, spec.of, spec.percentile, spec.scale)
    theirs = None
    if spec.against:
        theirs = found.rounds(spec.against_what or spec.what, spec.against, spec.percentile,
                              spec.scale, needed=spec.target_of == "ratio")
    value = statistics.median(ours)
    peer = statistics.median(theirs) if theirs else None
    ratio = value / peer if peer else None
    met = None
    if spec.target is not None:
        reached = ratio if spec.target_of == "ratio" else value
        met = reached >= spec.target if spec.better == "higher" else reached <= spec.target
    conditions = spec.conditions.format(
        t=times, rates=", ".join(f"{rate:,.0f}" for rate in found.rates),
        cold=statistics.median(found.values.get(("cold_bytes", "walrus"), [0])))
    row = {"name": spec.name, "value": value, "unit": spec.unit, "better": spec.better,
           "peer": peer_name(spec.against) if theirs else None, "peer_value": peer, "ratio": ratio,
           "target": spec.target, "target_of": spec.target_of if spec.target is not None else None,
           "met": met, "rounds": ours, "peer_rounds": theirs, "conditions": conditions,
           "others_busy": round(others, 3)}
    if spec.percentile:
        row["latency_us"] = {
            key: statistics.median(told[key] for told in found.told[spec.what, spec.of])
            for key in ("p50", "p90", "p99", "p99.9")}
    return row


def rows_of(found, times, others):
    """Of what could be measured. A row whose peer failed stays out as well."""
    rows = []
    for spec in SPECS:
        try:
            rows.append(row_of(spec, found, times, others))
        except KeyError:
            continue
    return rows


def peer_rounds(rows):
    out = ["", "## Rounds of the other side", ""]
    out += [f"- `{row['name']}`, {row['peer']}: " + ", ".join(map(report.number,
                                                                  row["peer_rounds"])) + "."
            for row in rows if row["peer_rounds"]]
    return "\n".join(out) + "\n"


def disturbed(rows):
    """What has to be said of figures that were not taken alone, or not often enough."""
    busy = [row["name"] for row in rows if row["others_busy"] > QUIET]
    few = [row["name"] for row in rows if len(row["rounds"]) < Times.rounds]
    said = ""
    if busy:
        most = max(row["others_busy"] for row in rows)
        said += (f"\n**Measured beside other work** (up to {most:.0%} of the machine was used "
                 f"before a run began): {', '.join(f'`{name}`' for name in busy)}. The whole run "
                 "on an idle machine is still due; until then these figures say little.\n")
    if few:
        said += "\n**Fewer than three rounds:** " + ", ".join(f"`{name}`" for name in few) + ".\n"
    return said


# --- the run -----------------------------------------------------------------------------------

def measure(names, times, save):
    """All rounds; the cases that failed."""
    found, failed = Found(), []
    others = busy_share()
    if others > QUIET:
        print(f"the machine is not idle: others use {others:.0%} of it", flush=True)
    for turn in range(times.rounds):
        for name in names:
            case, kinds = CASES[name]
            print(f"round {turn + 1}: {name}", flush=True)
            begin = time.monotonic()
            try:
                if not kinds:
                    case(times, found)
                # Who goes first alternates.
                for kind in kinds if turn % 2 == 0 else kinds[::-1]:
                    case(times, found, kind)
            except (RuntimeError, AssertionError, OSError, KeyError, ValueError, struct.error,
                    subprocess.SubprocessError) as error:
                failed.append(f"{name}: {error}")
                print(f"  FAILED: {error}", flush=True)
            print(f"  {time.monotonic() - begin:.0f} s", flush=True)
            save(rows_of(found, times, others))
    return rows_of(found, times, others), failed


def main():
    parser = options("cluster", __doc__.split("\n")[0], "ROW-OR-CASE",
                     f"a row, or a case: {' '.join(CASES)}")
    parser.add_argument("--seconds", type=float, help="of a timed run; half as long to warm up")
    args = parser.parse_args()
    if unknown := set(args.only or ()) - NAMES - set(CASES):
        parser.error(f"no such row or case: {' '.join(unknown)}")
    kept = Rows("cluster", SPECS, args)
    times = SHORT if args.short else Times()
    times = dataclasses.replace(times, rounds=args.rounds or times.rounds)
    if args.seconds:
        times = dataclasses.replace(times, run=args.seconds, warm=args.seconds / 2)
    failed, rows = [], []
    if not args.report:
        names = cases_of(args.only)
        print(f"{' '.join(names)}: about {estimate(names, times):.0f} minutes", flush=True)
        rows, failed = measure(names, times, kept.save)
        shutil.rmtree(systems.DATA, ignore_errors=True)
    return kept.finish(rows, failed, peer_rounds, disturbed)


if __name__ == "__main__":
    sys.exit(main())
