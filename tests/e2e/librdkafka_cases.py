"""confluent-kafka as Debian has it, on librdkafka 2.0.2, against an address: what kcat has no verb
for. Run by librdkafka_test.py with Debian's Python. Prints one line a case."""

import sys
import time
import traceback

from confluent_kafka import (OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer,
                             TopicPartition)
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic

ADDRESS = sys.argv[1]
SECONDS = 30
ADMIN = AdminClient({"bootstrap.servers": ADDRESS})


def equal(got, wanted, what="value"):
    if got != wanted:
        raise AssertionError(f"{what}: {got!r} instead of {wanted!r}")


def make(name, partitions=1, **settings):
    config = {key.replace("_", "."): value for key, value in settings.items()}
    ADMIN.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(SECONDS)


def refused(code, future):
    try:
        future.result(SECONDS)
    except KafkaException as error:
        equal(error.args[0].code(), code)
        return
    raise AssertionError("it was not refused")


def produce(topic, values, partition=0, **settings):
    offsets, errors = [], []

    def done(error, message):
        errors.append(error) if error else offsets.append(message.offset())
    producer = Producer({"bootstrap.servers": ADDRESS, **settings})
    for value in values:
        producer.produce(topic, value=value, partition=partition, on_delivery=done)
        producer.poll(0)
    equal(producer.flush(SECONDS), 0, "records in flight")
    return offsets, [error.code() for error in errors]


def consumer(group, **settings):
    return Consumer({"bootstrap.servers": ADDRESS, "group.id": group,
                     "auto.offset.reset": "earliest", "enable.auto.commit": False,
                     "session.timeout.ms": 6000, **settings})


def take(member, count):
    got, end = [], time.monotonic() + SECONDS
    while len(got) < count and time.monotonic() < end:
        got += [one for one in member.consume(count - len(got), 0.2) if not one.error()]
    equal(len(got), count, "records")
    return got


def idempotent_producer():
    make("once")
    offsets, errors = produce("once", [b"%d" % i for i in range(3000)],
                              **{"enable.idempotence": True, "batch.num.messages": 20})
    equal((offsets, errors), (list(range(3000)), []))


def too_large():
    make("large")
    _, errors = produce("large", [bytes(2_000_000)], **{"message.max.bytes": 9_000_000})
    equal(errors, [KafkaError.MSG_SIZE_TOO_LARGE])


def group_of_two():
    make("shared", 4)
    members = [consumer("pair") for _ in range(2)]
    for member in members:
        member.subscribe(["shared"])
    end, owned = time.monotonic() + SECONDS, []
    while time.monotonic() < end:
        for member in members:
            member.poll(0.05)
        owned = [{part.partition for part in member.assignment()} for member in members]
        if all(owned) and owned[0] | owned[1] == {0, 1, 2, 3} and not owned[0] & owned[1]:
            break
    for member in members:
        member.close()
    equal(sorted(map(len, owned)), [2, 2], "partitions")


def group_resumes():
    make("resumed")
    produce("resumed", [b"%d" % i for i in range(90)])
    seen = []
    for _ in range(3):
        member = consumer("resumer", **{"group.instance.id": "fixed"})
        member.subscribe(["resumed"])
        seen += [one.offset() for one in take(member, 30)]
        member.commit(asynchronous=False)
        member.close()
    equal(seen, list(range(90)))


def offsets_by_time():
    make("timed")
    producer = Producer({"bootstrap.servers": ADDRESS})
    base = int(time.time() * 1000) - 10_000
    for i in range(10):
        producer.produce("timed", value=b"x", partition=0, timestamp=base + 100 * i)
    producer.flush(SECONDS)
    reader = consumer("reader")
    part = TopicPartition("timed", 0, base + 450)
    equal(reader.offsets_for_times([part], SECONDS)[0].offset, 5)
    equal(reader.get_watermark_offsets(TopicPartition("timed", 0), SECONDS), (0, 10))
    reader.assign([TopicPartition("timed", 0, OFFSET_BEGINNING)])
    equal([one.offset() for one in take(reader, 10)], list(range(10)))
    reader.close()


def administration():
    make("managed", 1, retention_ms="60000")
    refused(KafkaError.TOPIC_ALREADY_EXISTS, ADMIN.create_topics([NewTopic("managed", 1, 1)])
            ["managed"])
    refused(KafkaError.INVALID_REPLICATION_FACTOR,
            ADMIN.create_topics([NewTopic("three", 1, 3)])["three"])
    ADMIN.create_partitions([NewPartitions("managed", 3)])["managed"].result(SECONDS)
    equal(len(ADMIN.list_topics("managed", SECONDS).topics["managed"].partitions), 3)
    topic = ConfigResource(ConfigResource.Type.TOPIC, "managed")
    told = ADMIN.describe_configs([topic])[topic].result(SECONDS)
    equal(told["retention.ms"].value, "60000")
    topic.set_config("retention.ms", "90000")
    ADMIN.alter_configs([topic])[topic].result(SECONDS)
    told = ADMIN.describe_configs([topic])[topic].result(SECONDS)
    equal(told["retention.ms"].value, "90000")
    equal([group.id for group in ADMIN.list_groups("resumer", SECONDS)], ["resumer"])
    ADMIN.delete_topics(["managed"])["managed"].result(SECONDS)
    refused(KafkaError.UNKNOWN_TOPIC_OR_PART, ADMIN.delete_topics(["managed"])["managed"])


def newest_by_key(topic):
    """What a reader from the beginning meets: {key: values, in order}; the offsets of both ends."""
    reader = consumer("compaction-reader", **{"enable.partition.eof": True})
    part = TopicPartition(topic, 0, OFFSET_BEGINNING)
    low, high = reader.get_watermark_offsets(TopicPartition(topic, 0), SECONDS)
    reader.assign([part])
    met, last, end = {}, -1, time.monotonic() + SECONDS
    while time.monotonic() < end:
        one = reader.poll(0.2)
        if one is None:
            continue
        if one.error():
            equal(one.error().code(), KafkaError._PARTITION_EOF)
            break
        if one.offset() <= last:
            raise AssertionError(f"offset {one.offset()} behind {last}")
        last = one.offset()
        met.setdefault(one.key(), []).append(one.value())
    reader.close()
    return met, low, high


def fill(topic, rounds, tombstones=(), **more):
    """The same keys again and again, the value of the last round too, then what is deleted; behind
    all that, keys that nothing supersedes, so that it lies in segments that are ended."""
    producer = Producer({"bootstrap.servers": ADDRESS, "batch.num.messages": 10})

    def send(key, value):
        producer.produce(topic, key=key, value=value, partition=0, **more)
        producer.poll(0)
    for number in range(rounds):
        for key in range(20):
            send(b"key%d" % key, b"%d " % number + bytes(1000))
        producer.flush(SECONDS)
    for key in tombstones:
        send(key, None)
    for number in range(200):
        send(b"single%d" % number, bytes(1000))
    equal(producer.flush(SECONDS), 0, "records in flight")


def until(seen, what):
    end = time.monotonic() + 3 * SECONDS
    while time.monotonic() < end:
        if seen():
            return
        time.sleep(0.2)  # it is looked again
    raise AssertionError(f"never: {what}")


def compaction():
    settings = {"cleanup_policy": "compact", "segment_bytes": "65536"}
    make("forgetting", **settings, delete_retention_ms="0", min_compaction_lag_ms="0")
    make("remembering", **settings, retention_ms="1")  # retention holds for what is deleted only
    # Records of an hour ago.
    make("aging", **{**settings, "cleanup_policy": "compact,delete"}, retention_ms="60000")
    make("young", **settings, min_compaction_lag_ms="3600000")
    make("late", cleanup_policy="compact", max_compaction_lag_ms="500")
    lags = {"min.compaction.lag.ms": "1001", "max.compaction.lag.ms": "1000"}
    refused(KafkaError.INVALID_CONFIG, ADMIN.create_topics(
        [NewTopic("wrong", 1, 1, config={"cleanup.policy": "compact", **lags})])["wrong"])
    topic = ConfigResource(ConfigResource.Type.TOPIC, "young")
    told = ADMIN.describe_configs([topic])[topic].result(SECONDS)
    equal([told[name].value for name in lags], ["3600000", "9223372036854775807"])
    fill("young", 15)
    # Too little to be worth it, in a segment that has not ended.
    producer = Producer({"bootstrap.servers": ADDRESS})
    for number in range(10):
        producer.produce("late", key=b"key", value=b"%d" % number, partition=0)
    equal(producer.flush(SECONDS), 0, "records in flight")
    fill("forgetting", 15, [b"key0", b"key1"])
    fill("remembering", 15, [b"key0"])
    old = int(time.time() * 1000) - 3_600_000
    fill("aging", 15, timestamp=old)

    def compacted(topic, gone, kept):
        met, low, high = newest_by_key(topic)
        singles = sum(key.startswith(b"single") for key in met)
        if any(len(values) > 1 for values in met.values()) or gone & met.keys():
            return False
        equal(singles, 200, "keys that nothing supersedes")
        for key in range(20):
            name = b"key%d" % key
            if name not in gone | kept:
                equal([value[:3] for value in met[name]], [b"14 "], "the newest value")
        equal([met[key] for key in kept], [[None] for _ in kept], "tombstones")
        equal(high, 15 * 20 + len(gone | kept) + 200, "the end")
        return True
    until(lambda: compacted("forgetting", {b"key0", b"key1"}, set()), "compacted, tombstones gone")
    until(lambda: compacted("remembering", set(), {b"key0"}), "compacted, tombstones kept")
    until(lambda: newest_by_key("late")[0] == {b"key": [b"9"]}, "compacted for its age")
    equal(len(newest_by_key("young")[0][b"key0"]), 15, "values that are too young to go")
    until(lambda: newest_by_key("aging")[1] > 300, "deleted by age")
    met, low, high = newest_by_key("aging")
    equal([key for key in met if key.startswith(b"key")], [], "keys of ended segments")
    equal(high, 500, "the end")
    _, errors = produce("forgetting", [b"without a key"])
    equal(errors, [KafkaError.INVALID_RECORD], "a record without a key")


for case in (idempotent_producer, too_large, group_of_two, group_resumes, offsets_by_time,
             administration, compaction):
    try:
        case()
        print(f"PASS {case.__name__}", flush=True)
    except Exception as error:
        traceback.print_exc()
        print(f"FAIL {case.__name__}: {type(error).__name__}: {error}", flush=True)
