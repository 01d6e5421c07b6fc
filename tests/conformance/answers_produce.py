"""Cases of answers.py: Produce, and who may."""

import time

from answer_requests import case, create, new_producer, produce
from batches import batch, record, varint
from raw import CLOSED


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
