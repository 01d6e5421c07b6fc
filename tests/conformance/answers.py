"""Sends each case to both addresses and compares the answers. usage: answers.py WALRUS KAFKA

A difference is a failure unless answers.toml gives the reason; so is a reason without one.
"""

import json
import pathlib
import struct
import sys
import time
import tomllib

from batches import batch, record, varint
from raw import CLOSED, Raw, plain

CASES = {}
REASONS = tomllib.loads((pathlib.Path(__file__).parent / "answers.toml").read_text())["differs"]
NO_ID = "00000000-0000-0000-0000-000000000001"


def case(function):
    CASES[function.__name__.replace("__", ".")] = function
    return function


def create(raw, name, partitions=1, config=()):
    raw.ask("CreateTopics", 5, timeout_ms=10000, topics=[
        {"name": name, "num_partitions": partitions, "replication_factor": 1, "assignments": [],
         "configs": [{"name": key, "value": value} for key, value in config]}])
    for _ in range(200):  # Kafka answers before every part of it knows
        told = raw.ask("Metadata", 7, topics=[{"name": name}], allow_auto_topic_creation=False)
        known = all(topic["error_code"] == 0 and len(topic["partitions"]) == partitions
                    for topic in told["topics"])
        if known and all(list_offsets(raw, name, -1, index=index)["topics"][0]["partitions"][0]
                         ["error_code"] == 0 for index in range(partitions)):
            return
        time.sleep(0.05)
    raise AssertionError(f"{name} was not made")


def produce(raw, topic, records, version=9, acks=-1, index=0, transactional_id=None, **more):
    return raw.ask("Produce", version, transactional_id=transactional_id, acks=acks,
                   timeout_ms=5000, topic_data=[{"name": topic, "partition_data": [
                       {"index": index, "records": records}]}], **more)


def fetch(raw, topic, offset=0, version=11, index=0, epoch=-1, session=(0, -1), wait=0,
          isolation=0, partition_max=1 << 20, max_bytes=1 << 20, replica=-1):
    return raw.ask("Fetch", version, replica_id=replica, max_wait_ms=wait, min_bytes=1,
                   max_bytes=max_bytes, isolation_level=isolation, session_id=session[0],
                   session_epoch=session[1], forgotten_topics_data=[], rack_id="",
                   topics=[{"topic": topic, "partitions": [
                       {"partition": index, "current_leader_epoch": epoch,
                        "fetch_offset": offset, "last_fetched_epoch": -1, "log_start_offset": -1,
                        "partition_max_bytes": partition_max}]}])


def list_offsets(raw, topic, timestamp, version=7, index=0, epoch=-1, isolation=0):
    return raw.ask("ListOffsets", version, replica_id=-1, isolation_level=isolation, topics=[
        {"name": topic, "partitions": [{"partition_index": index, "current_leader_epoch": epoch,
                                        "timestamp": timestamp}]}])


def new_producer(raw):
    for _ in range(400):
        told = raw.ask("InitProducerId", 3, transactional_id=None, transaction_timeout_ms=1000,
                       producer_id=-1, producer_epoch=-1)
        if told["error_code"] == 0:
            return told["producer_id"]
        time.sleep(0.05)
    raise AssertionError("no producer id")


def coordinator(raw, group):
    """Waits until the group's coordinator has loaded."""
    for _ in range(400):
        raw.ask("FindCoordinator", 3, key=group, key_type=0)
        told = raw.ask("Heartbeat", 3, group_id=group, generation_id=1, member_id="nobody")
        if told["error_code"] not in (14, 15, 16):
            return
        time.sleep(0.05)


def join(raw, group, member="", version=5, session=10000, rebalance=10000, kind="consumer",
         protocols=(("range", b"\0\1"),), instance=None):
    return raw.ask("JoinGroup", version, group_id=group, session_timeout_ms=session,
                   rebalance_timeout_ms=rebalance, member_id=member, group_instance_id=instance,
                   protocol_type=kind, protocols=[{"name": name, "metadata": data}
                                                  for name, data in protocols])


def stable(raw, group, topic=None):
    """A group with one member: (member id, generation)."""
    coordinator(raw, group)
    first = join(raw, group)
    told = join(raw, group, member=first["member_id"])
    raw.ask("SyncGroup", 3, group_id=group, generation_id=told["generation_id"],
            member_id=told["member_id"], group_instance_id=None,
            assignments=[{"member_id": told["member_id"], "assignment": b"mine"}])
    return told["member_id"], told["generation_id"]


def commit(raw, group, topic, offset=5, member="", generation=-1, version=7, index=0,
           metadata="m"):
    return raw.ask("OffsetCommit", version, group_id=group, member_id=member,
                   generation_id_or_member_epoch=generation, group_instance_id=None,
                   topics=[{"name": topic, "partitions": [
                       {"partition_index": index, "committed_offset": offset,
                        "committed_leader_epoch": -1, "committed_metadata": metadata}]}])


def committed(raw, group, topics, version=7):
    return raw.ask("OffsetFetch", version, group_id=group, require_stable=False,
                   topics=topics and [{"name": name, "partition_indexes": list(parts)}
                                      for name, parts in topics])


def create_topics(raw, version=5, **topic):
    whole = {"num_partitions": 1, "replication_factor": 1, "assignments": [], "configs": [],
             **topic}
    return raw.ask("CreateTopics", version, timeout_ms=10000, validate_only=False,
                   topics=[whole])


# --- produce ------------------------------------------------------------------------------------

@case
def produce__versions(raw):
    create(raw, "pv")
    return [produce(raw, "pv", batch(2), version=version) for version in range(3, 12)]


@case
def produce__unknown_topic(raw):
    return [produce(raw, "absent", batch(), version=version) for version in (3, 7, 9, 11)]


@case
def produce__unknown_partition(raw):
    create(raw, "pp")
    return [produce(raw, "pp", batch(), index=index) for index in (1, -1, 1000000)]


@case
def produce__bad_topic_name(raw):
    return [produce(raw, name, batch()) for name in ("a b", "", ".", "x" * 250)]


@case
def produce__acks(raw):
    create(raw, "pa")
    return [produce(raw, "pa", batch(), acks=acks) for acks in (-1, 1, 2, -2, 100)]


@case
def produce__acks_0_unknown_topic_closes(raw):
    raw.send("Produce", 7, {"transactional_id": None, "acks": 0, "timeout_ms": 1000,
                            "topic_data": [{"name": "absent", "partition_data": [
                                {"index": 0, "records": batch()}]}]})
    return CLOSED if raw.receive() is None else "answered"


@case
def produce__crc(raw):
    create(raw, "pcrc")
    return produce(raw, "pcrc", batch(crc=1))


@case
def produce__magic(raw):
    create(raw, "pmagic")
    return [produce(raw, "pmagic", batch(magic=magic)) for magic in (0, 1, 3)]


@case
def produce__counts_that_lie(raw):
    create(raw, "pc")
    return [produce(raw, "pc", batch(2, **lie)) for lie in (
        {"told_count": 3}, {"told_count": 1}, {"told_count": 0}, {"told_count": -1},
        {"last_offset_delta": 5}, {"last_offset_delta": 0}, {"last_offset_delta": -1})]


@case
def produce__empty_batch(raw):
    create(raw, "pe")
    return produce(raw, "pe", batch(0))


@case
def produce__no_batch(raw):
    create(raw, "pn")
    return produce(raw, "pn", b"")


@case
def produce__null_records(raw):
    create(raw, "pnull")
    raw.send("Produce", 7, {"transactional_id": None, "acks": -1, "timeout_ms": 1000,
                            "topic_data": [{"name": "pnull", "partition_data": [
                                {"index": 0, "records": None}]}]})
    raw.socket.settimeout(5)
    try:
        return CLOSED if raw.receive() is None else "answered"
    except TimeoutError:
        return "no answer"


@case
def produce__two_batches(raw):
    create(raw, "p2")
    return produce(raw, "p2", batch() + batch())


@case
def produce__cut_short(raw):
    create(raw, "pcut")
    whole = batch()
    return [produce(raw, "pcut", whole[:size]) for size in (5, 20, 60, len(whole) - 1)]


@case
def produce__length_that_lies(raw):
    create(raw, "plen")
    return [produce(raw, "plen", batch(length=length)) for length in (-1, 0, 10, 1 << 30)]


@case
def produce__control_and_transactional(raw):
    create(raw, "pctl")
    return [produce(raw, "pctl", batch(attributes=attributes, producer_id=5, producer_epoch=0,
                                       sequence=0)) for attributes in (0x20, 0x10, 0x30)]


@case
def produce__unknown_codec(raw):
    create(raw, "pcodec")
    return [produce(raw, "pcodec", batch(attributes=codec)) for codec in (5, 6, 7)]


@case
def produce__zstd_before_version_7(raw):
    create(raw, "pz")
    return produce(raw, "pz", batch(attributes=4), version=5)


@case
def produce__records_that_are_not_compressed(raw):
    create(raw, "pnc")
    return [produce(raw, "pnc", batch(attributes=codec)) for codec in (1, 2, 3, 4)]


@case
def produce__deltas(raw):
    create(raw, "pd")
    return [produce(raw, "pd", batch(2, records=one + two)) for one, two in (
        (record(0), record(0)), (record(1), record(0)), (record(0), record(5)),
        (record(0), record(0, offset_delta=-1)))]


@case
def produce__record_lengths_that_lie(raw):
    create(raw, "prl")
    good = record(0)
    return [produce(raw, "prl", batch(records=records)) for records in (
        varint(1000) + good[1:], varint(-1) + good[1:], varint(1) + good[1:], b"", good + b"\0")]


@case
def produce__timestamps(raw):
    create(raw, "pt")
    now = int(time.time() * 1000)
    return [produce(raw, "pt", batch(timestamp=stamp)) for stamp in (-1, 0, now - 10 ** 9)]


@case
def produce__timestamps_ahead(raw):
    create(raw, "pta")
    return produce(raw, "pta", batch(timestamp=int(time.time() * 1000) + 2 * 3600 * 1000))


@case
def produce__log_append_time_bit(raw):
    create(raw, "pla")
    return produce(raw, "pla", batch(attributes=8))


@case
def produce__base_offset_is_ignored(raw):
    create(raw, "pbo")
    return [produce(raw, "pbo", batch(base_offset=offset)) for offset in (0, 7, 1 << 40)]


@case
def produce__null_key_on_a_compacted_topic(raw):
    create(raw, "pk", config=[("cleanup.policy", "compact")])
    return [produce(raw, "pk", batch(2, key=key)) for key in (None, b"", b"k")]


@case
def produce__too_large(raw):
    create(raw, "pl")
    return [produce(raw, "pl", batch(value=bytes(size))) for size in (1048000, 1048588, 2000000)]


@case
def produce__sequences(raw):
    create(raw, "ps")
    producer = new_producer(raw)
    return [produce(raw, "ps", batch(count, producer_id=producer,
                                     producer_epoch=epoch, sequence=sequence))
            for epoch, sequence, count in ((0, 0, 2), (0, 2, 1), (0, 0, 2), (0, 1, 1), (0, 9, 1),
                                           (0, 3, 1), (1, 5, 1), (1, 0, 1), (0, 4, 1), (1, -1, 1),
                                           (-1, 0, 1), (2, 0, 3), (2, 3, 1))]


@case
def produce__old_duplicates(raw):
    create(raw, "pod")
    producer = new_producer(raw)
    return [produce(raw, "pod", batch(producer_id=producer, producer_epoch=0,
                                      sequence=sequence))
            for sequence in (*range(8), 7, 3, 2, 0)]


@case
def produce__first_sequence_of_an_unknown_producer(raw):
    create(raw, "pf")
    return [produce(raw, "pf", batch(producer_id=10 ** 9 + epoch, producer_epoch=epoch,
                                     sequence=sequence))
            for epoch, sequence in ((0, 7), (3, 2 ** 31 - 1))]


@case
def produce__transactional_id(raw):
    create(raw, "ptx")
    return produce(raw, "ptx", batch(), transactional_id="tx")


@case
def produce__a_partition_twice(raw):
    create(raw, "ptwice")
    return raw.ask("Produce", 7, transactional_id=None, acks=-1, timeout_ms=1000, topic_data=[
        {"name": "ptwice", "partition_data": [{"index": 0, "records": batch()},
                                              {"index": 0, "records": batch()}]}])


@case
def produce__no_topics(raw):
    return raw.ask("Produce", 7, transactional_id=None, acks=-1, timeout_ms=1000, topic_data=[])


# --- fetch --------------------------------------------------------------------------------------

@case
def fetch__versions(raw):
    create(raw, "fv")
    produce(raw, "fv", batch(3))
    return [fetch(raw, "fv", version=version) for version in range(4, 13)]


@case
def fetch__offsets(raw):
    create(raw, "fo")
    produce(raw, "fo", batch(3))
    return [fetch(raw, "fo", offset=offset) for offset in (0, 1, 2, 3, 4, -1, -2, 1 << 40)]


@case
def fetch__unknown(raw):
    create(raw, "fu")
    return [fetch(raw, "absent"), fetch(raw, "fu", index=5), fetch(raw, "fu", index=-1),
            fetch(raw, "a b"), fetch(raw, "")]


@case
def fetch__unknown_id(raw):
    return [raw.ask("Fetch", version, replica_id=-1, max_wait_ms=0, min_bytes=1, max_bytes=1000,
                    isolation_level=0, session_id=0, session_epoch=-1, forgotten_topics_data=[],
                    rack_id="", topics=[{"topic_id": NO_ID, "partitions": [
                        {"partition": 0, "current_leader_epoch": -1, "fetch_offset": 0,
                         "last_fetched_epoch": -1, "log_start_offset": -1,
                         "partition_max_bytes": 1000}]}]) for version in (13, 15, 17)]


@case
def fetch__epochs(raw):
    create(raw, "fe")
    produce(raw, "fe", batch())
    return [fetch(raw, "fe", epoch=epoch) for epoch in (-1, 0, 7)]


@case
def fetch__first_batch_larger_than_every_limit(raw):
    create(raw, "fl")
    produce(raw, "fl", batch(value=bytes(5000)))
    return [fetch(raw, "fl", partition_max=10, max_bytes=10), fetch(raw, "fl", partition_max=0),
            fetch(raw, "fl", max_bytes=0)]


@case
def fetch__unknown_session(raw):
    create(raw, "fs")
    return [fetch(raw, "fs", session=session) for session in ((77, 1), (77, 0), (0, 5))]


@case
def fetch__closing_an_unknown_session(raw):
    create(raw, "fcs")
    return fetch(raw, "fcs", session=(77, -1))


@case
def fetch__isolation(raw):
    create(raw, "fi")
    produce(raw, "fi", batch(2))
    return [fetch(raw, "fi", isolation=isolation) for isolation in (0, 1)]


@case
def fetch__no_topics(raw):
    return raw.ask("Fetch", 11, replica_id=-1, max_wait_ms=0, min_bytes=1, max_bytes=1000,
                   isolation_level=0, session_id=0, session_epoch=-1, forgotten_topics_data=[],
                   rack_id="", topics=[])


# --- offsets ------------------------------------------------------------------------------------

@case
def list_offsets__special(raw):
    create(raw, "ls")
    produce(raw, "ls", batch(3, timestamp=5000))
    return [list_offsets(raw, "ls", timestamp, version=10)
            for timestamp in (-1, -2, -3, -4, -5)]


@case
def list_offsets__empty_partition(raw):
    create(raw, "le")
    return [list_offsets(raw, "le", timestamp, version=9)
            for timestamp in (-1, -2, -3, -4, 0, 1000)]


@case
def list_offsets__versions(raw):
    create(raw, "lv")
    produce(raw, "lv", batch(3))
    return [list_offsets(raw, "lv", timestamp, version=version)
            for version in range(1, 11) for timestamp in (-1, -2)]


@case
def list_offsets__by_time(raw):
    create(raw, "lt")
    for stamp in (1000, 3000, 2000, 5000):
        produce(raw, "lt", batch(timestamp=stamp))
    return [list_offsets(raw, "lt", stamp) for stamp in (0, 1000, 1001, 2500, 4000, 5001)]


@case
def list_offsets__unknown(raw):
    create(raw, "lu")
    return [list_offsets(raw, "absent", -1), list_offsets(raw, "lu", -1, index=9),
            list_offsets(raw, "lu", -1, index=-1)]


@case
def list_offsets__meaningless_timestamps(raw):
    create(raw, "lm")
    return [list_offsets(raw, "lm", stamp) for stamp in (-7, -100)]


@case
def list_offsets__timestamps_of_later_versions(raw):
    create(raw, "ll")
    produce(raw, "ll", batch(timestamp=5000))
    return [list_offsets(raw, "ll", stamp, version=version)
            for stamp, version in ((-3, 6), (-4, 7), (-5, 8))]


@case
def list_offsets__epochs(raw):
    create(raw, "lep")
    produce(raw, "lep", batch())
    return [list_offsets(raw, "lep", -1, epoch=epoch) for epoch in (0, 9)]


@case
def list_offsets__a_partition_twice(raw):
    create(raw, "l2")
    return raw.ask("ListOffsets", 5, replica_id=-1, isolation_level=0, topics=[
        {"name": "l2", "partitions": [{"partition_index": 0, "current_leader_epoch": -1,
                                       "timestamp": -1}] * 2}])


@case
def offset_for_leader_epoch__some(raw):
    create(raw, "oe")
    produce(raw, "oe", batch(3))
    return [raw.ask("OffsetForLeaderEpoch", version, replica_id=-1, topics=[
        {"topic": topic, "partitions": [{"partition": index, "current_leader_epoch": current,
                                         "leader_epoch": epoch}]}])
            for version, topic, index, current, epoch in (
                (4, "oe", 0, -1, 0), (3, "oe", 0, 0, 0), (2, "oe", 0, -1, 9), (4, "oe", 0, 9, 0),
                (4, "oe", 0, -1, -1), (4, "oe", 5, -1, 0), (4, "absent", 0, -1, 0))]


@case
def delete_records__some(raw):
    create(raw, "dr")
    produce(raw, "dr", batch())
    produce(raw, "dr", batch())
    produce(raw, "dr", batch())
    return [raw.ask("DeleteRecords", version, timeout_ms=5000, topics=[
        {"name": topic, "partitions": [{"partition_index": index, "offset": offset}]}])
            for version, topic, index, offset in (
                (0, "dr", 0, 1), (1, "dr", 0, 0), (2, "dr", 0, 2), (2, "dr", 0, 4),
                (2, "dr", 0, -2), (2, "dr", 0, -1), (2, "dr", 5, 0), (2, "absent", 0, 0))]


# --- metadata -----------------------------------------------------------------------------------

@case
def metadata__unknown(raw):
    return [raw.ask("Metadata", version, topics=[{"name": "absent"}],
                    allow_auto_topic_creation=False) for version in (4, 8, 9, 12)]


@case
def metadata__bad_names(raw):
    return [raw.ask("Metadata", 9, topics=[{"name": name}], allow_auto_topic_creation=True)
            for name in ("a b", "", ".", "..", "x" * 250)]


@case
def metadata__unknown_id(raw):
    return [raw.ask("Metadata", version, topics=[{"name": None, "topic_id": NO_ID}],
                    allow_auto_topic_creation=False) for version in (10, 12)]


@case
def metadata__no_topics(raw):
    return raw.ask("Metadata", 9, topics=[], allow_auto_topic_creation=False)


@case
def metadata__a_topic(raw):
    create(raw, "meta", partitions=3)
    return [raw.ask("Metadata", version, topics=[{"name": "meta"}],
                    allow_auto_topic_creation=False) for version in range(4, 13)]


@case
def metadata__makes_topics(raw):
    first = raw.ask("Metadata", 9, topics=[{"name": "made"}], allow_auto_topic_creation=True)
    for _ in range(100):
        told = raw.ask("Metadata", 9, topics=[{"name": "made"}], allow_auto_topic_creation=True)
        if told["topics"][0]["error_code"] == 0:
            break
        time.sleep(0.05)
    del first
    return told


@case
def describe_cluster__some(raw):
    return [raw.ask("DescribeCluster", 0, include_cluster_authorized_operations=False),
            raw.ask("DescribeCluster", 1, include_cluster_authorized_operations=False,
                    endpoint_type=2),
            raw.ask("DescribeCluster", 1, include_cluster_authorized_operations=False,
                    endpoint_type=9)]


# --- topics -------------------------------------------------------------------------------------

@case
def create_topics__some(raw):
    return [create_topics(raw, version=version, name=f"ct{version}", num_partitions=2)
            for version in range(2, 5)]


@case
def create_topics__what_was_made(raw):
    told = create_topics(raw, version=7, name="ctm", num_partitions=2)
    for topic in told["topics"]:
        topic["configs"] = None  # told by DescribeConfigs, compared there
    return told


@case
def create_topics__refused(raw):
    create(raw, "ctx")
    return [create_topics(raw, **topic) for topic in (
        {"name": "ctx"}, {"name": "a b"}, {"name": ""}, {"name": "."}, {"name": "x" * 250},
        {"name": "c1", "num_partitions": 0}, {"name": "c2", "num_partitions": -2},
        {"name": "c3", "replication_factor": 2}, {"name": "c4", "replication_factor": 0},
        {"name": "c5", "replication_factor": -2},
        {"name": "c6", "configs": [{"name": "no.such", "value": "1"}]},
        {"name": "c7", "configs": [{"name": "retention.ms", "value": "x"}]},
        {"name": "c8", "configs": [{"name": "cleanup.policy", "value": "nonsense"}]},
        {"name": "c9", "assignments": [{"partition_index": 0, "broker_ids": [1]}]},
        {"name": "c10", "num_partitions": -1, "replication_factor": -1,
         "assignments": [{"partition_index": 0, "broker_ids": [9]}]},
        {"name": "c11", "num_partitions": -1, "replication_factor": -1,
         "assignments": [{"partition_index": 1, "broker_ids": [1]}]},
        {"name": "c12", "num_partitions": -1, "replication_factor": -1,
         "assignments": [{"partition_index": 0, "broker_ids": []}]})]


@case
def create_topics__names_that_collide(raw):
    create(raw, "col.lide")
    return create_topics(raw, name="col_lide")


@case
def create_topics__defaults(raw):
    return [create_topics(raw, version=version, name=f"ctd{version}", num_partitions=-1,
                          replication_factor=-1) for version in (3, 4)]


@case
def create_topics__twice_in_one_request(raw):
    topic = {"name": "ctt", "num_partitions": 1, "replication_factor": 1, "assignments": [],
             "configs": []}
    return raw.ask("CreateTopics", 4, timeout_ms=5000, validate_only=False, topics=[topic, topic])


@case
def create_topics__only_validated(raw):
    topic = {"name": "ctval", "num_partitions": 1, "replication_factor": 1, "assignments": [],
             "configs": []}
    return [raw.ask("CreateTopics", 4, timeout_ms=5000, validate_only=True, topics=[topic]),
            raw.ask("Metadata", 9, topics=[{"name": "ctval"}], allow_auto_topic_creation=False)]


@case
def delete_topics__refused(raw):
    return [raw.ask("DeleteTopics", 4, topic_names=["absent"], timeout_ms=1000),
            raw.ask("DeleteTopics", 4, topic_names=["a b"], timeout_ms=1000),
            raw.ask("DeleteTopics", 6, topics=[{"name": None, "topic_id": NO_ID}],
                    timeout_ms=1000)]


@case
def delete_topics__twice_in_one_request(raw):
    create(raw, "dtt")
    return raw.ask("DeleteTopics", 4, topic_names=["dtt", "dtt"], timeout_ms=1000)


@case
def create_partitions__some(raw):
    create(raw, "cp", partitions=2)
    return [raw.ask("CreatePartitions", 2, timeout_ms=5000, validate_only=False, topics=[
        {"name": name, "count": count, "assignments": assignments}])
            for name, count, assignments in (
                ("absent", 3, None), ("cp", 1, None), ("cp", 2, None), ("cp", 0, None),
                ("cp", 3, [{"broker_ids": [9]}]), ("cp", 4, [{"broker_ids": [1]}]), ("cp", 3, []),
                ("cp", 3, None))]


# --- configs ------------------------------------------------------------------------------------

def describe(raw, kind, name, keys=None, version=4):
    return raw.ask("DescribeConfigs", version, include_synonyms=False,
                   include_documentation=False, resources=[
                       {"resource_type": kind, "resource_name": name,
                        "configuration_keys": keys}])


def alter(raw, name, *changes, kind=2, validate=False):
    return raw.ask("IncrementalAlterConfigs", 1, validate_only=validate, resources=[
        {"resource_type": kind, "resource_name": name, "configs": [
            {"name": key, "config_operation": operation, "value": value}
            for key, operation, value in changes]}])


@case
def describe_configs__names_and_types(raw):
    create(raw, "dn")
    told = describe(raw, 2, "dn")
    return sorted((one["name"], one["config_type"], one["read_only"], one["is_sensitive"])
                  for one in told["results"][0]["configs"]
                  if not one["name"].startswith("walrus."))


@case
def describe_configs__defaults(raw):
    create(raw, "dd")
    told = describe(raw, 2, "dd")
    return {one["name"]: one["value"] for one in told["results"][0]["configs"]
            if not one["name"].startswith("walrus.")}


@case
def describe_configs__sources(raw):
    create(raw, "ds", config=[("retention.ms", "60000")])
    told = describe(raw, 2, "ds", ["retention.ms"])
    return told


@case
def describe_configs__some_keys(raw):
    create(raw, "dk", config=[("retention.ms", "60000")])
    return [describe(raw, 2, "dk", keys) for keys in (["retention.ms"], ["no.such"])]


@case
def describe_configs__refused(raw):
    return [describe(raw, 2, "absent"), describe(raw, 2, "a b"), describe(raw, 4, "99"),
            describe(raw, 4, "x"), describe(raw, 77, "x")]


@case
def incremental_alter__refused(raw):
    create(raw, "ia")
    return [alter(raw, "absent", ("retention.ms", 0, "1")),
            alter(raw, "ia", ("no.such", 0, "1")), alter(raw, "ia", ("retention.ms", 0, "x")),
            alter(raw, "ia", ("retention.ms", 0, None)), alter(raw, "ia", ("retention.ms", 9, "1")),
            alter(raw, "ia", ("retention.ms", 2, "1")),
            alter(raw, "ia", ("retention.ms", 0, "1"), ("retention.ms", 0, "2")),
            alter(raw, "ia", ("", 0, "1"))]


@case
def incremental_alter__lists(raw):
    create(raw, "il")
    told = []
    for change in (("cleanup.policy", 2, "compact"), ("cleanup.policy", 3, "delete"),
                   ("cleanup.policy", 1, None)):
        told.append(alter(raw, "il", change)["responses"][0]["error_code"])
        for _ in range(50):  # Kafka changes in the background
            value = describe(raw, 2, "il", ["cleanup.policy"])["results"][0]["configs"][0]["value"]
            time.sleep(0.01)
        told.append(",".join(sorted(value.split(","))))
    return told


@case
def incremental_alter__only_validated(raw):
    create(raw, "iv")
    return [alter(raw, "iv", ("retention.ms", 0, "777"), validate=True),
            describe(raw, 2, "iv", ["retention.ms"])]


@case
def alter_configs__replaces(raw):
    create(raw, "ar", config=[("retention.ms", "60000"), ("segment.bytes", "2000000")])
    return raw.ask("AlterConfigs", 2, validate_only=False, resources=[
        {"resource_type": 2, "resource_name": "ar", "configs": [
            {"name": "retention.ms", "value": "70000"}]}])


# --- groups -------------------------------------------------------------------------------------

@case
def find_coordinator__some(raw):
    coordinator(raw, "fc")
    return [raw.ask("FindCoordinator", 0, key="fc"),
            raw.ask("FindCoordinator", 2, key="fc", key_type=0),
            raw.ask("FindCoordinator", 4, key_type=0, coordinator_keys=["fc", "other"]),
            raw.ask("FindCoordinator", 4, key_type=0, coordinator_keys=[]),
            raw.ask("FindCoordinator", 2, key="", key_type=0),
            raw.ask("FindCoordinator", 2, key="x", key_type=9)]


@case
def join_group__refused(raw):
    coordinator(raw, "jr")
    return [join(raw, ""), join(raw, "jr", session=1), join(raw, "jr", session=10 ** 8),
            join(raw, "jr", member="nobody"), join(raw, "jr", protocols=()),
            join(raw, "jr", kind=""), join(raw, "jr", version=2, member="nobody")]


@case
def join_group__member_id_is_required(raw):
    coordinator(raw, "jm")
    first = join(raw, "jm")
    told = join(raw, "jm", member=first["member_id"])
    told["members"] = len(told["members"])
    return [first, told]


@case
def join_group__versions(raw):
    told = []
    for version in (0, 1, 2, 3, 5, 6, 7, 9):
        group = f"jv{version}"
        coordinator(raw, group)
        answer = join(raw, group, version=version)
        if answer["error_code"] == 79:
            answer = join(raw, group, version=version, member=answer["member_id"])
        answer["members"] = len(answer["members"])
        told.append(answer)
    return told


@case
def join_group__other_protocols(raw):
    stable(raw, "jo")
    other = Raw(raw.address)
    told = [join(other, "jo", version=3, protocols=(("other", b""),)),
            join(other, "jo", version=3, kind="connect")]
    other.close()
    return told


@case
def join_group__static_members(raw):
    coordinator(raw, "js")
    first = join(raw, "js", instance="i1")
    again = join(raw, "js", instance="i1")
    stale = join(raw, "js", instance="i1", member=first["member_id"])
    beat = raw.ask("Heartbeat", 3, group_id="js", generation_id=again["generation_id"],
                   member_id=first["member_id"], group_instance_id="i1")
    return [first["error_code"], again["error_code"], stale["error_code"], beat,
            first["generation_id"], again["generation_id"]]


@case
def sync_group__refused(raw):
    member, generation = stable(raw, "sr")

    def sync(group="sr", one=member, at=generation, version=5, kind="consumer", name="range"):
        return raw.ask("SyncGroup", version, group_id=group, generation_id=at, member_id=one,
                       group_instance_id=None, protocol_type=kind, protocol_name=name,
                       assignments=[])
    return [sync(), sync(group="absent"), sync(one="nobody"), sync(at=99), sync(at=-1),
            sync(kind="connect"), sync(name="other"), sync(group=""), sync(version=0)]


@case
def heartbeat__some(raw):
    member, generation = stable(raw, "hb")

    def beat(group="hb", one=member, at=generation, instance=None):
        return raw.ask("Heartbeat", 3, group_id=group, generation_id=at, member_id=one,
                       group_instance_id=instance)
    return [beat(), beat(group="absent"), beat(group=""), beat(one="nobody"), beat(at=99),
            beat(at=-1), beat(instance="none")]


@case
def leave_group__some(raw):
    member, _ = stable(raw, "lg")
    return [raw.ask("LeaveGroup", 1, group_id="lg", member_id="nobody"),
            raw.ask("LeaveGroup", 1, group_id="absent", member_id="nobody"),
            raw.ask("LeaveGroup", 1, group_id="", member_id="nobody"),
            raw.ask("LeaveGroup", 4, group_id="lg", members=[
                {"member_id": "nobody", "group_instance_id": None},
                {"member_id": "", "group_instance_id": "none"}]),
            raw.ask("LeaveGroup", 4, group_id="lg", members=[]),
            raw.ask("LeaveGroup", 4, group_id="lg", members=[
                {"member_id": member, "group_instance_id": None}]),
            raw.ask("LeaveGroup", 1, group_id="lg", member_id=member)]


@case
def offset_commit__some(raw):
    create(raw, "oc", partitions=2)
    coordinator(raw, "oc")
    return [commit(raw, "oc", "oc"), commit(raw, "oc", "absent"), commit(raw, "oc", "oc", index=9),
            commit(raw, "oc", "oc", metadata="x" * 5000), commit(raw, "oc", "oc", metadata=None),
            commit(raw, "oc", "oc", member="nobody", generation=3),
            commit(raw, "oc", "oc", member="nobody"), commit(raw, "oc", "oc", generation=3),
            commit(raw, "oc", "oc", offset=-1), commit(raw, "", "oc"),
            commit(raw, "oc", "oc", version=2), committed(raw, "oc", [("oc", (0, 1))])]


@case
def offset_commit__of_members(raw):
    create(raw, "om")
    member, generation = stable(raw, "om")
    return [commit(raw, "om", "om", member=member, generation=generation),
            commit(raw, "om", "om", member=member, generation=99),
            commit(raw, "om", "om", member="nobody", generation=generation),
            commit(raw, "om", "om"), commit(raw, "om", "om", member=member)]


@case
def offset_fetch__some(raw):
    create(raw, "of")
    coordinator(raw, "of")
    commit(raw, "of", "of", offset=7, metadata="seven")
    return [*(committed(raw, "of", [("of", (0,))], version=version) for version in range(1, 8)),
            committed(raw, "of", None), committed(raw, "of", []),
            committed(raw, "of", [("absent", (0,))]), committed(raw, "of", [("of", (9,))]),
            committed(raw, "never", [("of", (0,))]), committed(raw, "never", None),
            committed(raw, "", [("of", (0,))]),
            raw.ask("OffsetFetch", 8, require_stable=True, groups=[
                {"group_id": "of", "topics": None},
                {"group_id": "never", "topics": [{"name": "of", "partition_indexes": [0]}]}])]


@case
def describe_groups__some(raw):
    stable(raw, "dg")
    told = [raw.ask("DescribeGroups", version, groups=["dg", "absent", ""],
                    include_authorized_operations=False) for version in (0, 3, 5)]
    for one in told:
        one["groups"].sort(key=lambda group: group["group_id"])
    return told


@case
def list_groups__filters(raw):
    stable(raw, "lgf")

    def listed(states=(), types=(), version=5):
        told = raw.ask("ListGroups", version, states_filter=list(states),
                       types_filter=list(types))
        return told["error_code"], [one for one in told["groups"] if one["group_id"] == "lgf"]
    return [listed(), listed(["Stable"]), listed(["Empty"]), listed(["stable"]),
            listed(["Nonsense"]), listed((), ["classic"]), listed((), ["Classic"]),
            listed((), ["consumer"]), listed((), ["nonsense"]), listed(version=0)]


@case
def delete_groups__some(raw):
    stable(raw, "dgs")
    create(raw, "dgs")
    coordinator(raw, "dge")
    commit(raw, "dge", "dgs")
    return [raw.ask("DeleteGroups", 2, groups_names=names)
            for names in (["absent"], [""], ["dgs"], ["dge"], ["dge"], ["dge", "dge"])]


@case
def offset_delete__some(raw):
    create(raw, "od")
    stable(raw, "odm")
    coordinator(raw, "ode")
    commit(raw, "ode", "od")
    return [raw.ask("OffsetDelete", 0, group_id=group, topics=[
        {"name": topic, "partitions": [{"partition_index": index}]}])
            for group, topic, index in (("absent", "od", 0), ("ode", "absent", 0), ("ode", "od", 9),
                                        ("ode", "od", 0), ("ode", "od", 0), ("odm", "od", 0))]


# --- the rest -----------------------------------------------------------------------------------

@case
def elect_leaders__some(raw):
    create(raw, "el")
    return [raw.ask("ElectLeaders", 2, election_type=kind, timeout_ms=1000, topic_partitions=[
        {"topic": topic, "partitions": [index]}])
            for kind, topic, index in ((0, "el", 0), (1, "el", 0), (0, "el", 9), (0, "absent", 0))]


@case
def reassignments__some(raw):
    create(raw, "ra")
    return [raw.ask("AlterPartitionReassignments", 0, timeout_ms=1000, topics=[
        {"name": topic, "partitions": [{"partition_index": index, "replicas": replicas}]}])
            for topic, index, replicas in (("ra", 0, [1]), ("ra", 0, [9]), ("ra", 0, None),
                                           ("ra", 0, []), ("ra", 0, [1, 1]), ("ra", 9, [1]),
                                           ("absent", 0, [1]))] + [
        raw.ask("ListPartitionReassignments", 0, timeout_ms=1000, topics=None)]


@case
def log_dirs__some(raw):
    create(raw, "ld", partitions=2)
    told = [raw.ask("DescribeLogDirs", version, topics=[
        {"topic": topic, "partitions": partitions}])
            for version, topic, partitions in ((1, "ld", [0, 1]), (4, "ld", [1]), (4, "ld", [9]),
                                               (4, "absent", [0]))]
    for one in told:
        for directory in one["results"]:
            for topic in directory["topics"]:
                topic["partitions"].sort(key=lambda part: part["partition_index"])
    return told


@case
def init_producer_id__some(raw):
    return [raw.ask("InitProducerId", version, transactional_id=None,
                    transaction_timeout_ms=1000, producer_id=-1, producer_epoch=-1)
            for version in range(0, 6)] + [
        raw.ask("InitProducerId", 3, transactional_id=None, transaction_timeout_ms=1000,
                producer_id=5, producer_epoch=0),
        raw.ask("InitProducerId", 3, transactional_id="", transaction_timeout_ms=1000,
                producer_id=-1, producer_epoch=-1)]


@case
def init_producer_id__transactional(raw):
    return raw.ask("InitProducerId", 3, transactional_id="tx", transaction_timeout_ms=1000,
                   producer_id=-1, producer_epoch=-1)["error_code"]


@case
def api_versions__versions(raw):
    told = []
    for version in range(0, 5):
        answer = raw.ask("ApiVersions", version, client_software_name="raw",
                         client_software_version="1")
        told.append(answer["error_code"])
    return told


@case
def api_versions__bad_names(raw):
    def error(name, version):
        raw.send("ApiVersions", 3, {"client_software_name": name,
                                    "client_software_version": version})
        return struct.unpack(">ih", raw.receive()[:6])[1]
    return [error(name, version)
            for name, version in (("", ""), ("a b", "1"), ("-a", "1"), ("a", "1-"), ("a", "1.0"))]


@case
def api_versions__too_new(raw):
    raw.send_frame(struct.pack(">hhih", 18, 99, 7, -1) + bytes(8))
    answer = raw.receive()
    return answer and struct.unpack(">ih", answer[:6])


@case
def requests__that_are_none(raw):
    told = []
    for body in (struct.pack(">hhih", 999, 0, 1, -1), struct.pack(">hhih", 3, 99, 1, -1),
                 struct.pack(">hhih", 0, 2, 1, -1), struct.pack(">hhih", 4, 0, 1, -1),
                 struct.pack(">hhihi", 3, 1, 1, -1, 1 << 30), struct.pack(">hhi", 3, 1, 1), b"",
                 struct.pack(">hhih", 3, 1, 1, -1)):
        raw.send_frame(body)
        told.append(CLOSED if raw.receive() is None else "answered")
        raw.close()
    return told


def differences(ours, theirs, place=""):
    """Where two plain answers differ, in words."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [line for key in {**ours, **theirs} for line in
                differences(ours.get(key), theirs.get(key), f"{place}.{key}" if place else key)]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [line for at, pair in enumerate(zip(ours, theirs))
                for line in differences(*pair, f"{place}[{at}]")]
    if ours == theirs:
        return []
    return [f"{place}: {json.dumps(ours)[:120]}, Kafka {json.dumps(theirs)[:120]}"]


def answer_of(function, address):
    raw = Raw(address)
    try:
        return plain(function(raw))
    except Exception as error:
        raise AssertionError(f"against {address}: {type(error).__name__}: {error}") from error
    finally:
        raw.close()


def main():
    ours, theirs, only = sys.argv[1], sys.argv[2], sys.argv[3:]
    failed = False
    for name in REASONS:
        if name not in CASES:
            print(f"FAIL answers.{name}: answers.toml names it, there is no such case")
            failed = True
    for name, function in CASES.items():
        if only and name not in only:
            continue
        try:
            found = differences(answer_of(function, ours), answer_of(function, theirs))
        except AssertionError as error:
            failed = True
            print(f"FAIL answers.{name}: {error}", flush=True)
            continue
        reason = REASONS.get(name)
        if bool(found) == bool(reason):
            print(f"PASS answers.{name}", flush=True)
        elif found:
            failed = True
            print(f"FAIL answers.{name}: {'; '.join(found)}", flush=True)
        else:
            failed = True
            print(f"FAIL answers.{name}: no difference any more: {reason}", flush=True)
    sys.exit(1 if failed else 0)


main()
