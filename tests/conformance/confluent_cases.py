"""confluent-kafka (a recent librdkafka) against the address that is given."""

import sys
import time

from confluent_kafka import (OFFSET_BEGINNING, Consumer, ConsumerGroupTopicPartitions,
                             IsolationLevel, KafkaError, KafkaException, Producer, TopicPartition)
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource,
                                   NewPartitions, NewTopic, OffsetSpec)

from cases import case, equal, fresh, run

ADDRESS = sys.argv[1]
SECONDS = 30


ADMIN = AdminClient({"bootstrap.servers": ADDRESS})  # kept: its answers end with it


def admin():
    return ADMIN


def make_topic(partitions=3, **config):
    name = fresh("confluent")
    settings = {key.replace("_", "."): value for key, value in config.items()}
    made = admin().create_topics([NewTopic(name, partitions, 1, config=settings)])
    made[name].result(SECONDS)
    return name


def produce(topic, records, **settings):
    """Each (key, value, partition); all must be acknowledged. The offsets by partition."""
    offsets, errors = {}, []

    def done(error, message):
        if error:
            errors.append(error)
        else:
            offsets.setdefault(message.partition(), []).append(message.offset())
    producer = Producer({"bootstrap.servers": ADDRESS, **settings})
    for key, value, partition in records:
        while True:
            try:
                producer.produce(topic, key=key, value=value, partition=partition,
                                 headers={"n": str(value)[:50]}, on_delivery=done)
                break
            except BufferError:
                producer.poll(0.1)
    equal(producer.flush(SECONDS), 0, "records in flight")
    equal(errors, [], "errors")
    return offsets


def consumer(group, **settings):
    return Consumer({"bootstrap.servers": ADDRESS, "group.id": group,
                     "auto.offset.reset": "earliest", "enable.auto.commit": False,
                     "session.timeout.ms": 6000, **settings})


def take(from_, count, seconds=SECONDS):
    got, end = [], time.monotonic() + seconds
    while len(got) < count and time.monotonic() < end:
        for message in from_.consume(count - len(got), 0.5):
            if message.error():
                raise KafkaException(message.error())
            got.append(message)
    equal(len(got), count, "records")
    return got


def assigned(*partitions, **settings):
    one = consumer(fresh("group"), **settings)
    one.assign([TopicPartition(*partition) for partition in partitions])
    return one


@case
def every_codec_in_order():
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        topic = make_topic(1)
        values = [f"{codec} {i}".encode() for i in range(2000)]
        produce(topic, [(b"k", value, 0) for value in values], **{"compression.type": codec})
        one = assigned((topic, 0, OFFSET_BEGINNING))
        got = take(one, len(values))
        equal([message.value() for message in got], values)
        equal([message.offset() for message in got], list(range(len(values))), "offsets")
        equal(got[7].headers(), [("n", str(values[7]).encode())], "headers")
        one.close()


@case
def idempotent_producer():
    topic = make_topic(3)
    sent = [(b"%d" % i, b"%d" % i, i % 3) for i in range(5000)]
    offsets = produce(topic, sent, **{"enable.idempotence": True, "batch.num.messages": 50})
    for partition, given in offsets.items():
        equal(given, list(range(len(given))), f"offsets of partition {partition}")


@case
def acks_and_large_records():
    for acks in (0, 1, -1):
        topic = make_topic(1)
        value = bytes(900_000)
        produce(topic, [(None, value, 0)] * 3, acks=acks)
        one = assigned((topic, 0, OFFSET_BEGINNING))
        equal([len(message.value()) for message in take(one, 3)], [len(value)] * 3)
        one.close()


@case
def a_record_above_the_limit_is_refused():
    topic = make_topic(1)
    errors = []
    producer = Producer({"bootstrap.servers": ADDRESS, "message.max.bytes": 10_000_000})
    producer.produce(topic, value=bytes(2_000_000),
                     on_delivery=lambda error, _: errors.append(error and error.code()))
    producer.flush(SECONDS)
    equal(errors, [KafkaError.MSG_SIZE_TOO_LARGE])


@case
def null_and_empty():
    topic = make_topic(1)
    produce(topic, [(None, None, 0), (b"", b"", 0), (b"k", None, 0)])
    one = assigned((topic, 0, OFFSET_BEGINNING))
    equal([(m.key(), m.value()) for m in take(one, 3)], [(None, None), (b"", b""), (b"k", None)])
    one.close()


@case
def a_group_resumes_where_it_committed():
    topic, group = make_topic(3), fresh("group")
    produce(topic, [(None, b"%d" % i, i % 3) for i in range(300)])
    seen = set()
    for _ in range(3):
        one = consumer(group)
        one.subscribe([topic])
        got = take(one, 100)
        seen |= {(message.partition(), message.offset()) for message in got}
        one.commit(asynchronous=False)
        one.close()
    equal(len(seen), 300, "distinct records")


def both_get_partitions(settings):
    topic, group = make_topic(4), fresh("group")
    members = [consumer(group, **settings) for _ in range(2)]
    for member in members:
        member.subscribe([topic])
    end = time.monotonic() + SECONDS
    owned = []
    while time.monotonic() < end:
        for member in members:
            member.poll(0.1)
        owned = [{one.partition for one in member.assignment()} for member in members]
        if all(owned) and owned[0] | owned[1] == {0, 1, 2, 3} and not owned[0] & owned[1]:
            break
    for member in members:
        member.close()
    equal(sorted(map(len, owned)), [2, 2], "partitions of the two members")


@case
def two_members_share_range():
    both_get_partitions({"partition.assignment.strategy": "range"})


@case
def two_members_share_cooperative_sticky():
    both_get_partitions({"partition.assignment.strategy": "cooperative-sticky"})


@case
def a_static_member_keeps_its_partitions():
    topic, group = make_topic(2), fresh("group")
    produce(topic, [(None, b"x", 0), (None, b"x", 1)])
    kept = []
    for _ in range(2):
        one = consumer(group, **{"group.instance.id": "fixed"})
        one.subscribe([topic])
        take(one, 2)
        kept.append(sorted(part.partition for part in one.assignment()))
        one.close()
    equal(kept, [[0, 1], [0, 1]])


@case
def offsets_by_time_and_watermarks():
    topic = make_topic(1)
    producer = Producer({"bootstrap.servers": ADDRESS})
    base = int(time.time() * 1000) - 100_000
    for i in range(100):
        producer.produce(topic, value=b"%d" % i, timestamp=base + i * 100, partition=0)
    producer.flush(SECONDS)
    one = consumer(fresh("group"))
    equal(one.get_watermark_offsets(TopicPartition(topic, 0), SECONDS), (0, 100), "watermarks")
    found = one.offsets_for_times([TopicPartition(topic, 0, base + 4_150)], SECONDS)
    equal(found[0].offset, 42, "offset by time")
    found = one.offsets_for_times([TopicPartition(topic, 0, base + 1_000_000)], SECONDS)
    equal(found[0].offset, -1, "offset behind all")
    one.close()
    for spec, wanted in ((OffsetSpec.earliest(), 0), (OffsetSpec.latest(), 100),
                         (OffsetSpec.max_timestamp(), 99), (OffsetSpec.for_timestamp(base), 0)):
        listed = admin().list_offsets({TopicPartition(topic, 0): spec},
                                      isolation_level=IsolationLevel.READ_UNCOMMITTED)
        equal(listed[TopicPartition(topic, 0)].result(SECONDS).offset, wanted, str(spec))


@case
def cluster_and_topics_are_described():
    topic = make_topic(3)
    told = admin().list_topics(timeout=SECONDS)
    equal(len(told.brokers), 1, "brokers")
    equal(sorted(told.topics[topic].partitions), [0, 1, 2], "partitions")
    cluster = admin().describe_cluster().result(SECONDS)
    equal(len(cluster.nodes), 1, "nodes")
    if not cluster.cluster_id or cluster.controller is None:
        raise AssertionError("no cluster id or no controller")
    from confluent_kafka import TopicCollection
    described = admin().describe_topics(TopicCollection([topic]))[topic].result(SECONDS)
    equal(len(described.partitions), 3, "described partitions")


@case
def partitions_grow():
    topic = make_topic(1)
    admin().create_partitions([NewPartitions(topic, 4)])[topic].result(SECONDS)
    equal(len(admin().list_topics(topic, SECONDS).topics[topic].partitions), 4)
    try:
        admin().create_partitions([NewPartitions(topic, 2)])[topic].result(SECONDS)
    except KafkaException as error:
        equal(error.args[0].code(), KafkaError.INVALID_PARTITIONS)
    else:
        raise AssertionError("fewer partitions were taken")


@case
def settings_are_told_and_changed():
    topic = make_topic(1, retention_ms="60000")
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    told = admin().describe_configs([resource])[resource].result(SECONDS)
    equal(told["retention.ms"].value, "60000")
    equal(told["retention.ms"].is_default, False, "default?")
    equal(told["cleanup.policy"].value, "delete")
    change = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[
        ConfigEntry("retention.ms", "120000", incremental_operation=AlterConfigOpType.SET),
        ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.APPEND)])
    admin().incremental_alter_configs([change])[change].result(SECONDS)
    told = admin().describe_configs([resource])[resource].result(SECONDS)
    equal(told["retention.ms"].value, "120000")
    if "compact" not in told["cleanup.policy"].value:
        raise AssertionError(told["cleanup.policy"].value)
    broker = ConfigResource(ConfigResource.Type.BROKER, "1")
    told = admin().describe_configs([broker])[broker].result(SECONDS)
    if "num.partitions" not in told:
        raise AssertionError("no num.partitions of the broker")


@case
def what_is_wrong_is_refused_by_name():
    topic = make_topic(1)
    for name, partitions, copies, settings, wanted in (
            (topic, 1, 1, {}, KafkaError.TOPIC_ALREADY_EXISTS),
            ("bad name", 1, 1, {}, KafkaError.TOPIC_EXCEPTION),
            (fresh("x"), 1, 3, {}, KafkaError.INVALID_REPLICATION_FACTOR),
            (fresh("x"), 1, 1, {"no.such": "x"}, KafkaError.INVALID_CONFIG)):
        made = admin().create_topics([NewTopic(name, partitions, copies, config=settings)])
        try:
            made[name].result(SECONDS)
        except KafkaException as error:
            equal(error.args[0].code(), wanted, name)
        else:
            raise AssertionError(f"{name} was made")
    try:
        absent = fresh("absent")
        admin().delete_topics([absent])[absent].result(SECONDS)
    except KafkaException as error:
        equal(error.args[0].code(), KafkaError.UNKNOWN_TOPIC_OR_PART)
    else:
        raise AssertionError("an absent topic was removed")


@case
def records_are_deleted():
    topic = make_topic(1)
    produce(topic, [(None, b"%d" % i, 0) for i in range(10)])
    part = TopicPartition(topic, 0, 6)
    done = admin().delete_records([part])[part].result(SECONDS)
    equal(done.low_watermark, 6)
    one = assigned((topic, 0, OFFSET_BEGINNING))
    equal([message.offset() for message in take(one, 4)], [6, 7, 8, 9])
    one.close()


@case
def groups_are_listed_described_changed_and_deleted():
    topic, group = make_topic(1), fresh("group")
    produce(topic, [(None, b"%d" % i, 0) for i in range(10)])
    one = consumer(group)
    one.subscribe([topic])
    take(one, 10)
    one.commit(asynchronous=False)
    told = admin().describe_consumer_groups([group])[group].result(SECONDS)
    equal((told.state.name, len(told.members)), ("STABLE", 1))
    listed = admin().list_consumer_groups().result(SECONDS)
    if group not in {each.group_id for each in listed.valid}:
        raise AssertionError("the group is not listed")
    try:
        admin().delete_consumer_groups([group])[group].result(SECONDS)
        raise AssertionError("a group with a member was deleted")
    except KafkaException as error:
        equal(error.args[0].code(), KafkaError.NON_EMPTY_GROUP)
    one.close()
    ask = ConsumerGroupTopicPartitions(group)
    got = admin().list_consumer_group_offsets([ask])[group].result(SECONDS)
    equal([part.offset for part in got.topic_partitions], [10])
    change = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 3)])
    admin().alter_consumer_group_offsets([change])[group].result(SECONDS)
    got = admin().list_consumer_group_offsets([ask])[group].result(SECONDS)
    equal([part.offset for part in got.topic_partitions], [3])
    admin().delete_consumer_groups([group])[group].result(SECONDS)
    try:
        admin().delete_consumer_groups([group])[group].result(SECONDS)
        raise AssertionError("a deleted group was deleted again")
    except KafkaException as error:
        equal(error.args[0].code(), KafkaError.GROUP_ID_NOT_FOUND)


@case
def a_topic_made_anew_shows_nothing_old():
    topic = make_topic(1)
    produce(topic, [(None, b"old", 0)])
    admin().delete_topics([topic])[topic].result(SECONDS)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        made = admin().create_topics([NewTopic(topic, 1, 1)])
        try:
            made[topic].result(SECONDS)
            break
        except KafkaException as error:  # Kafka removes in the background
            equal(error.args[0].code(), KafkaError.TOPIC_ALREADY_EXISTS)
    produce(topic, [(None, b"new", 0)])
    one = assigned((topic, 0, OFFSET_BEGINNING))
    equal([message.value() for message in take(one, 1)], [b"new"])
    one.close()


run("confluent")
