"""kafka-python against the address that is given."""

import sys
import time

from kafka import (KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata,
                   TopicPartition)
from kafka.admin import NewTopic
from kafka.errors import KafkaError, MessageSizeTooLargeError

from cases import case, equal, fresh, run

ADDRESS = sys.argv[1]
SECONDS = 30


def client(kind, **settings):
    return kind(bootstrap_servers=ADDRESS, **settings)


def make_topic(partitions=1):
    name = fresh("kafka-python")
    admin = client(KafkaAdminClient)
    admin.create_topics([NewTopic(name, partitions, 1)])
    admin.close()
    return name


def produce(topic, records, **settings):
    """Each (key, value, partition); the offsets in their order."""
    producer = client(KafkaProducer, **settings)
    sent = [producer.send(topic, value=value, key=key, partition=partition,
                          headers=[("h", b"1")]) for key, value, partition in records]
    producer.flush(SECONDS)
    offsets = [future.get(SECONDS).offset for future in sent]
    producer.close()
    return offsets


def take(consumer, count):
    got, end = [], time.monotonic() + SECONDS
    while len(got) < count and time.monotonic() < end:
        for records in consumer.poll(500, max_records=count - len(got)).values():
            got += records
    equal(len(got), count, "records")
    return got


def from_start(topic, partition=0):
    consumer = client(KafkaConsumer, auto_offset_reset="earliest", enable_auto_commit=False)
    consumer.assign([TopicPartition(topic, partition)])
    return consumer


@case
def every_codec_in_order():
    for codec in (None, "gzip"):  # the others need further packages
        topic = make_topic()
        values = [b"%d" % i for i in range(1000)]
        offsets = produce(topic, [(b"k", value, 0) for value in values], compression_type=codec)
        equal(offsets, list(range(len(values))), "offsets")
        consumer = from_start(topic)
        got = take(consumer, len(values))
        equal([record.value for record in got], values)
        equal(got[3].headers, [("h", b"1")], "headers")
        consumer.close()


@case
def idempotent_and_plain_producers():
    for settings in ({"enable_idempotence": True}, {"enable_idempotence": False, "acks": 1},
                     {"enable_idempotence": False, "acks": "all"}):
        topic = make_topic()
        produce(topic, [(None, b"%d" % i, 0) for i in range(500)], **settings)
        consumer = from_start(topic)
        equal([record.offset for record in take(consumer, 500)], list(range(500)))
        consumer.close()


@case
def a_record_above_the_limit_is_refused():
    topic = make_topic()
    try:
        produce(topic, [(None, bytes(2_000_000), 0)], max_request_size=10_000_000)
    except MessageSizeTooLargeError:
        return
    raise AssertionError("it was taken")


@case
def a_group_resumes_where_it_committed():
    topic, group = make_topic(3), fresh("group")
    produce(topic, [(None, b"%d" % i, i % 3) for i in range(90)])
    seen = set()
    for _ in range(3):
        consumer = client(KafkaConsumer, group_id=group, auto_offset_reset="earliest",
                          enable_auto_commit=False)
        consumer.subscribe([topic])
        seen |= {(record.partition, record.offset) for record in take(consumer, 30)}
        consumer.commit()
        consumer.close()
    equal(len(seen), 90, "distinct records")


@case
def positions_by_time_and_seek():
    topic = make_topic()
    base = int(time.time() * 1000) - 100_000
    producer = client(KafkaProducer)
    for i in range(50):
        producer.send(topic, value=b"%d" % i, partition=0, timestamp_ms=base + 100 * i)
    producer.flush(SECONDS)
    producer.close()
    part = TopicPartition(topic, 0)
    consumer = from_start(topic)
    equal(consumer.beginning_offsets([part])[part], 0)
    equal(consumer.end_offsets([part])[part], 50)
    equal(consumer.offsets_for_times({part: base + 1_950})[part].offset, 20)
    consumer.seek(part, 45)
    equal([record.offset for record in take(consumer, 5)], [45, 46, 47, 48, 49])
    consumer.seek_to_beginning(part)
    equal(take(consumer, 1)[0].offset, 0)
    consumer.close()


@case
def commits_carry_metadata():
    topic, group = make_topic(), fresh("group")
    part = TopicPartition(topic, 0)
    consumer = client(KafkaConsumer, group_id=group, enable_auto_commit=False)
    consumer.assign([part])
    consumer.commit({part: OffsetAndMetadata(7, "seven", -1)})
    equal(consumer.committed(part, metadata=True).metadata, "seven")
    equal(consumer.committed(part), 7)
    consumer.close()


@case
def administration():
    topic, group = make_topic(2), fresh("group")
    admin = client(KafkaAdminClient)
    if topic not in admin.list_topics():
        raise AssertionError("the topic is not listed")
    cluster = admin.describe_cluster()
    equal(len(cluster["brokers"]), 1, "brokers")
    admin.create_partitions({topic: 5})
    equal(len(admin.describe_topics([topic])[0]["partitions"]), 5, "partitions")
    produce(topic, [(None, b"x", 0)] * 10)
    admin.delete_records({TopicPartition(topic, 0): 4})
    consumer = from_start(topic)
    equal(take(consumer, 6)[0].offset, 4)
    consumer.close()
    member = client(KafkaConsumer, group_id=group, auto_offset_reset="earliest")
    member.subscribe([topic])
    take(member, 6)
    told = admin.describe_groups([group])
    if "Stable" not in str(told):
        raise AssertionError(told)
    member.close()
    if group not in str(admin.list_groups()):
        raise AssertionError("the group is not listed")
    if topic not in str(admin.list_group_offsets({group: None})):
        raise AssertionError("no offsets of the group")
    admin.delete_groups([group])
    if group in str(admin.list_groups()):
        raise AssertionError("the group is still listed")
    admin.delete_topics([topic])
    admin.close()


@case
def refusals():
    topic = make_topic()
    admin = client(KafkaAdminClient)
    for name in (topic, "bad name"):
        try:
            admin.create_topics([NewTopic(name, 1, 1)])
        except KafkaError:
            continue
        raise AssertionError(f"{name} was made")
    admin.close()


run("kafka-python")
