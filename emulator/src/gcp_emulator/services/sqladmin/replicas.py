"""What is done with replicas: promoting, switching over, stopping and starting the replication. Nothing is replicated: no replica runs here.

Sources: the discovery documents; https://cloud.google.com/sql/docs/mysql/replication/manage-replicas. The text for an instance that is no
replica is that of mockgcp/mocksql in GoogleCloudPlatform/k8s-config-connector.
"""

from __future__ import annotations

from collections.abc import Callable

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import ApiError, Json
from gcp_emulator.engine.service import Call, handles
from gcp_emulator.engine.store import Collection
from gcp_emulator.services.sqladmin import rules, topology
from gcp_emulator.services.sqladmin.instances import End, Instances

Change = Callable[[Collection, str], None]


class Replicas:
    """The part of the service for replicas."""

    def __init__(self, context: Context, instances: Instances) -> None:
        self._instances = instances
        self._records = context.store.collection("sqladmin.instances")

    def _replica(self, call: Call) -> str:
        """The key of the call's instance, which must be an idle replica that runs."""
        key, record = self._instances.running(call)
        if record["instanceType"] != "READ_REPLICA_INSTANCE":
            raise rules.invalid("instance is not a replica instance.")
        return key

    @handles("sql.instances.promoteReplica")
    async def promote_replica(self, call: Call) -> Json:
        key = self._replica(call)
        return self._instances.begin(call, key, "PROMOTE_REPLICA", end=self._then(topology.promote, key))

    @handles("sql.instances.switchover")
    async def switch_over(self, call: Call) -> Json:
        key = self._replica(call)
        return self._instances.begin(call, key, "SWITCHOVER", end=self._then(topology.switch_over, key))

    def _then(self, change: Change, key: str) -> End:
        def end(error: ApiError | None) -> None:
            if error is None:
                change(self._records, key)

        return end

    @handles("sql.instances.stopReplica")
    async def stop_replica(self, call: Call) -> Json:
        return self._replicate(call, "STOP_REPLICA", enabled=False)

    @handles("sql.instances.startReplica")
    async def start_replica(self, call: Call) -> Json:
        return self._replicate(call, "START_REPLICA", enabled=True)

    def _replicate(self, call: Call, kind: str, *, enabled: bool) -> Json:
        key = self._replica(call)
        record = self._records.get(key) or {}
        settings = record["settings"] | {"databaseReplicationEnabled": enabled}
        self._records.put(key, record | {"settings": settings})
        return self._instances.begin(call, key, kind)
