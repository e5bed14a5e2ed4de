"""Worker pools of Cloud Run: revisions whose instances work by themselves, so many as somebody says, without an address.

Sources: https://cloud.google.com/run/docs/deploy-worker-pools (manual scaling, no endpoint), "Container runtime contract"
(``CLOUD_RUN_WORKER_POOL``, ``CLOUD_RUN_WORKER_POOL_REVISION``), the discovery document run:v2 (``instanceSplits``).
That a revision is ready when its instances run, and pass the startup probe if there is one, is assumed.
"""

from __future__ import annotations

from gcp_emulator.engine.errors import Json, not_found
from gcp_emulator.engine.service import Call, handles
from gcp_emulator.services.run import templates
from gcp_emulator.services.run.deployed import Deployed
from gcp_emulator.services.run.names import Name, short
from gcp_emulator.workloads.autoscaler import RevisionPool


class WorkerPoolsApi(Deployed):
    """``run.projects.locations.workerPools`` and their revisions."""

    kind = "workerPools"
    message = "WorkerPool"
    id_parameter = "workerPoolId"
    conditions = ("InstanceSplitsReady", "ConfigurationsReady")
    revisions_collection = "run.workerPoolRevisions"

    @handles("run.projects.locations.workerPools.create")
    async def create_pool(self, call: Call) -> Json:
        return await self.create(call)

    @handles("run.projects.locations.workerPools.get")
    async def get_pool(self, call: Call) -> Json:
        return await self.get(call)

    @handles("run.projects.locations.workerPools.list")
    async def list_pools(self, call: Call) -> Json:
        return await self.list(call)

    @handles("run.projects.locations.workerPools.patch")
    async def update_pool(self, call: Call) -> Json:
        return await self.patch(call)

    @handles("run.projects.locations.workerPools.delete")
    async def delete_pool(self, call: Call) -> Json:
        return await self.delete(call)

    @handles("run.projects.locations.workerPools.revisions.get")
    async def get_pool_revision(self, call: Call) -> Json:
        return await self.get_revision(call)

    @handles("run.projects.locations.workerPools.revisions.list")
    async def list_pool_revisions(self, call: Call) -> Json:
        return await self.list_revisions(call)

    @handles("run.projects.locations.workerPools.revisions.delete")
    async def delete_pool_revision(self, call: Call) -> Json:
        return await self.delete_revision(call)

    # ---------------------------------------------------------------- what is declared

    def with_defaults(self, declared: Json, default_account: str) -> Json:
        """See `Deployed`."""
        return templates.with_worker_pool_defaults(declared, default_account)

    def check(self, name: Name, spec: Json) -> None:
        """See `Deployed`."""
        templates.check_worker_pool(spec)
        for split in spec["instanceSplits"]:
            revision = split.get("revision")
            if (
                revision
                and revision != spec["template"].get("revision")
                and f"{name}/revisions/{revision}" not in self.revisions
            ):
                raise not_found(
                    f"Revision '{revision}' of worker pool '{name.id}' was not found; instances cannot be given to it."
                )

    def addresses(self, name: Name, spec: Json) -> Json:
        """See `Deployed`: it has none."""
        return {}

    # ---------------------------------------------------------------- instances

    def distribute(self, name: Name, record: Json) -> Json | None:
        """See `Deployed`."""
        for split in record["spec"]["instanceSplits"]:
            revision = split.get("revision")
            if revision and not self.is_ready(f"{name}/revisions/{revision}"):
                return {"message": f"Revision '{revision}' is not ready.", "reason": "REVISION_FAILED"}
            if not revision and "latestReadyRevision" not in record["status"]:
                return None  # the first revision failed: its own message says more
        record["status"]["instanceSplitStatuses"] = [
            dict(split) for split in record["spec"]["instanceSplits"]
        ]
        return None

    def shares(self, name: str, record: Json) -> dict[str, int]:
        """See `Deployed`."""
        shares: dict[str, int] = {}
        for split in record["status"].get("instanceSplitStatuses", ()):
            revision = split.get("revision")
            full = f"{name}/revisions/{revision}" if revision else record["status"]["latestReadyRevision"]
            shares[full] = shares.get(full, 0) + split.get("percent", 0)
        return shares

    def limits(self, record: Json, revision: str, percent: int) -> tuple[int, int]:
        """See `Deployed`: exactly so many, of which the revision has its part, rounded up."""
        count = -(-_count(record) * percent // 100)
        return count, count

    def new_pool(self, revision: str, record: Json) -> RevisionPool:
        """See `Deployed`. No request keeps an instance, so what is more than the count ends at once."""
        owner = self.declared.get(str(Name.of(revision))) or {"spec": {}}
        count = _count(owner)
        return RevisionPool(
            lambda: self.instance(revision), min_instances=count, max_instances=count, idle_timeout=0.0
        )

    def first_instances(self, record: Json) -> int:
        """See `Deployed`: one shows whether it starts; the others follow with the pool's count."""
        return min(1, _count(record))

    def environment(self, name: Name, revision: str) -> dict[str, str]:
        """See `Deployed`."""
        return {"CLOUD_RUN_WORKER_POOL": name.id, "CLOUD_RUN_WORKER_POOL_REVISION": revision}

    def log_resource(self, revision: str) -> Json:
        """See `Deployed`."""
        name = Name.of(revision)
        labels = {
            "project_id": name.project, "location": name.region, "worker_pool_name": name.id,
            "revision_name": short(revision),
        }  # fmt: skip
        return {"type": "cloud_run_worker_pool", "labels": labels}


def _count(record: Json) -> int:
    return int(record["spec"].get("scaling", {}).get("manualInstanceCount", 0))
