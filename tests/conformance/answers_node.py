"""Cases of answers.py: the node, producer ids, and requests that are none."""

import struct

from answer_requests import case, create, new_producer
from raw import CLOSED


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
    new_producer(raw)  # Kafka has none to give for a while
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
