"""Services of Cloud Run: revisions that answer requests, by their share of the traffic.

Source: "Rollbacks, gradual rollouts, and traffic migration" (traffic and tags).
"""

from __future__ import annotations

from gcp_emulator.engine.errors import Json, not_found
from gcp_emulator.engine.service import Call, handles
from gcp_emulator.services.run import templates
from gcp_emulator.services.run.deployed import Deployed
from gcp_emulator.services.run.names import Name, hosts, short, tagged
from gcp_emulator.workloads.autoscaler import RevisionPool


class ServicesApi(Deployed):
    """``run.projects.locations.services`` and their revisions."""

    kind = "services"
    message = "Service"
    id_parameter = "serviceId"
    conditions = ("RoutesReady", "ConfigurationsReady")
    revisions_collection = "run.revisions"

    @handles("run.projects.locations.services.create")
    async def create_service(self, call: Call) -> Json:
        return await self.create(call)

    @handles("run.projects.locations.services.get")
    async def get_service(self, call: Call) -> Json:
        return await self.get(call)

    @handles("run.projects.locations.services.list")
    async def list_services(self, call: Call) -> Json:
        return await self.list(call)

    @handles("run.projects.locations.services.patch")
    async def update_service(self, call: Call) -> Json:
        return await self.patch(call)

    @handles("run.projects.locations.services.delete")
    async def delete_service(self, call: Call) -> Json:
        return await self.delete(call)

    @handles("run.projects.locations.services.revisions.get")
    async def get_service_revision(self, call: Call) -> Json:
        return await self.get_revision(call)

    @handles("run.projects.locations.services.revisions.list")
    async def list_service_revisions(self, call: Call) -> Json:
        return await self.list_revisions(call)

    @handles("run.projects.locations.services.revisions.delete")
    async def delete_service_revision(self, call: Call) -> Json:
        return await self.delete_revision(call)

    # ---------------------------------------------------------------- what is declared

    def with_defaults(self, declared: Json, default_account: str) -> Json:
        """See `Deployed`."""
        return templates.with_service_defaults(declared, default_account)

    def check(self, name: Name, spec: Json) -> None:
        """See `Deployed`."""
        templates.check_service(spec)
        if spec.get("invokerIamDisabled"):
            self.neighbours.constraints.forbid(name.project, "run.managed.requireInvokerIam", str(name))
        for target in spec["traffic"]:
            revision = target.get("revision")
            if (
                revision
                and revision != spec["template"].get("revision")
                and f"{name}/revisions/{revision}" not in self.revisions
            ):
                raise not_found(
                    f"Revision '{revision}' of service '{name.id}' was not found; traffic cannot be sent to it."
                )

    def addresses(self, name: Name, spec: Json) -> Json:
        """See `Deployed`."""
        if spec.get("defaultUriDisabled"):
            return {"urls": []}
        found = [f"https://{host}" for host in hosts(name, self.context.projects.number(name.project))]
        return {"urls": found, "uri": found[-1]}

    # ---------------------------------------------------------------- traffic and instances

    def distribute(self, name: Name, record: Json) -> Json | None:
        """See `Deployed`."""
        addresses = hosts(name, self.context.projects.number(name.project))
        statuses: list[Json] = []
        for target in record["spec"]["traffic"]:
            revision = target.get("revision")
            if revision and not self.is_ready(f"{name}/revisions/{revision}"):
                return {
                    "message": f"Revision '{revision}' is not ready and cannot serve traffic.",
                    "reason": "REVISION_FAILED",
                }
            if not revision and "latestReadyRevision" not in record["status"]:
                return None  # the first revision failed: its own message says more
            entry = dict(target)
            if target.get("tag"):
                entry["uri"] = "https://" + tagged(target["tag"], addresses[-1])
            statuses.append(entry)
        record["status"]["trafficStatuses"] = statuses
        return None

    def shares(self, name: str, record: Json) -> dict[str, int]:
        """See `Deployed`."""
        shares: dict[str, int] = {}
        for target in record["status"].get("trafficStatuses", ()):
            revision = target.get("revision")
            full = f"{name}/revisions/{revision}" if revision else record["status"]["latestReadyRevision"]
            shares[full] = shares.get(full, 0) + target.get("percent", 0)
        return shares

    def limits(self, record: Json, revision: str, percent: int) -> tuple[int, int]:
        """See `Deployed`: from the revision's own scaling and the service's."""
        own = (self.revisions.get(revision) or {"spec": {}})["spec"].get("scaling", {})
        whole = record["spec"].get("scaling", {})
        if whole.get("scalingMode") == "MANUAL":
            count = whole.get("manualInstanceCount", 0) if percent else 0
            return count, count
        shared = -(-whole.get("minInstanceCount", 0) * percent // 100)
        high = min(own.get("maxInstanceCount", 100), whole.get("maxInstanceCount", 1000))
        return min(high, max(own.get("minInstanceCount", 0), shared)), high

    def new_pool(self, revision: str, record: Json) -> RevisionPool:
        """See `Deployed`."""
        return RevisionPool(
            lambda: self.instance(revision),
            concurrency=record["spec"]["maxInstanceRequestConcurrency"],
            max_instances=record["spec"].get("scaling", {}).get("maxInstanceCount", 100),
        )

    def first_instances(self, record: Json) -> int:
        """See `Deployed`."""
        return 1

    def environment(self, name: Name, revision: str) -> dict[str, str]:
        """See `Deployed`."""
        return {"K_SERVICE": name.id, "K_REVISION": revision, "K_CONFIGURATION": name.id}

    def log_resource(self, revision: str) -> Json:
        """See `Deployed`."""
        name = Name.of(revision)
        labels = {
            "project_id": name.project, "location": name.region, "service_name": name.id,
            "configuration_name": name.id, "revision_name": short(revision),
        }  # fmt: skip
        return {"type": "cloud_run_revision", "labels": labels}
