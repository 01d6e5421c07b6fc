"""Cases of answers.py: Fetch, and offsets."""

from answer_requests import NO_ID, case, create, fetch, list_offsets, produce
from batches import batch


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
