"""What the cases of answers.py ask again and again, and the list of the cases."""

import time

CASES = {}
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
