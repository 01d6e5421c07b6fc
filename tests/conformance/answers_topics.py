"""Cases of answers.py: metadata, topics and their settings."""

import time

from answer_requests import NO_ID, case, create, create_topics, join


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
