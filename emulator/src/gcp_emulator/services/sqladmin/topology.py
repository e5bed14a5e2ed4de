"""Which instance replicates which: what a primary and its replicas tell of each other."""

from __future__ import annotations

from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.store import Collection
from gcp_emulator.services.sqladmin.rules import instance_key


def add_replica(records: Collection, primary: str, name: str) -> None:
    """Notes at the primary that it has a replica of that name."""
    record = records.get(primary)
    if record is not None:
        names = record.get("replicaNames", [])
        records.put(primary, record | {"replicaNames": [*names, name]})


def remove_replica(records: Collection, replica: Json) -> None:
    """Notes at the primary of ``replica`` that it has this replica no longer."""
    key = instance_key(replica["masterInstanceName"], replica["project"])
    record = records.get(key)
    if record is None:
        return
    names = [name for name in record.pop("replicaNames", []) if name != replica["name"]]
    records.put(key, record | ({"replicaNames": names} if names else {}))


def name_failover_replica(records: Collection, before: Json, after: Json) -> None:
    """Lets replicas tell whether they are the one for disaster recovery, when the primary names another."""
    old, new = (one.get("replicationCluster", {}).get("failoverDrReplicaName") for one in (before, after))
    if old == new:
        return
    for name, is_chosen in ((old, False), (new, True)):
        key = instance_key(name, after["project"]) if name else ""
        record = records.get(key)
        if record is not None and record["instanceType"] == "READ_REPLICA_INSTANCE":
            cluster = {"replicationCluster": {"drReplica": True}} if is_chosen else {}
            record.pop("replicationCluster", None)
            records.put(key, record | cluster)


def promote(records: Collection, key: str) -> None:
    """Makes a replica an instance of its own."""
    record = records.get(key)
    if record is None:
        return
    remove_replica(records, record)
    for field in ("masterInstanceName", "replicaConfiguration", "replicationCluster"):
        record.pop(field, None)
    records.put(key, record | {"instanceType": "CLOUD_SQL_INSTANCE"})


def switch_over(records: Collection, key: str) -> None:
    """Makes a replica the primary of what was its primary and of its siblings.

    Source: mockgcp/mocksql/sqlinstance.go of GoogleCloudPlatform/k8s-config-connector.
    """
    replica = records.get(key)
    if replica is None:
        return
    old = instance_key(replica["masterInstanceName"], replica["project"])
    primary = records.get(old)
    promote(records, key)
    if primary is None:
        return
    others = [name for name in primary.pop("replicaNames", []) if name != replica["name"]]
    cluster = primary.pop("replicationCluster", None)
    name = f"{replica['project']}:{replica['name']}"
    records.put(old, primary | {"instanceType": "READ_REPLICA_INSTANCE", "masterInstanceName": name})
    for other in others:
        sibling = records.get(instance_key(other, replica["project"]))
        if sibling is not None:
            records.put(instance_key(other, replica["project"]), sibling | {"masterInstanceName": name})
    promoted = records.get(key) or {}
    told = {"replicaNames": [primary["name"], *others]} | ({"replicationCluster": cluster} if cluster else {})
    records.put(key, promoted | told)
