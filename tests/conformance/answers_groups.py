"""Cases of answers.py: consumer groups."""

from answer_requests import case, commit, committed, coordinator, create, join, stable
from raw import Raw


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
