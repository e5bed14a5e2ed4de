"""Cloud Run Admin API v2, and the addresses of the services that run.

What services and worker pools have in common is in `deployed`, what they have alone in `services` and `worker_pools`, addresses
are in `serving`, jobs in `jobs`; `templates` says
what is refused, `containers` makes containers of templates, and `neighbours` is the only place that knows other services.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.describe import Page, Section, View
from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.policies import Policies
from gcp_emulator.engine.routes import Route
from gcp_emulator.engine.service import Call, Service, handles
from gcp_emulator.services.run import records
from gcp_emulator.services.run.containers import Containers
from gcp_emulator.services.run.describe import describe
from gcp_emulator.services.run.jobs import JobsApi
from gcp_emulator.services.run.neighbours import Neighbours
from gcp_emulator.services.run.ports import Invoker
from gcp_emulator.services.run.services import ServicesApi
from gcp_emulator.services.run.serving import Serving
from gcp_emulator.services.run.worker_pools import WorkerPoolsApi

_WAIT_SECONDS = 30.0


class CloudRun(Service):
    """https://run.googleapis.com/v2 and https://*.run.app."""

    api = "run"
    page = Page("/run", "Cloud Run")
    versions = ("v2",)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        neighbours = Neighbours(context)
        containers = Containers(context, neighbours)
        self.services = ServicesApi(context, neighbours, containers)
        self.jobs = JobsApi(context, neighbours, containers)
        self.worker_pools = WorkerPoolsApi(context, neighbours, containers)
        self._serving = Serving(context, neighbours, self.services)
        context.ports.offer(CloudRun, self)
        context.ports.offer(Invoker, self._serving)

    def parts(self) -> Iterable[object]:
        return self, self.services, self.jobs, self.worker_pools

    def policies(self) -> Iterable[Policies]:
        return (
            Policies("run.projects.locations.services", partial(records.found, self.services.declared)),
            Policies("run.projects.locations.jobs", partial(records.found, self.jobs.jobs)),
            Policies(
                "run.projects.locations.workerPools", partial(records.found, self.worker_pools.declared)
            ),
        )

    async def describe(self, view: View) -> Section | None:
        if view.part:
            return None
        services, jobs, pools = self.services, self.jobs, self.worker_pools
        return describe(
            services.declared,
            services.revisions,
            jobs.jobs,
            jobs.executions,
            pools.declared,
            view,
            self.context.port,
        )

    def routes(self) -> Iterable[Route]:
        return self._serving.routes()

    async def start(self) -> None:
        await self.services.start()
        await self.jobs.start()
        await self.worker_pools.start()

    async def stop(self) -> None:
        await asyncio.gather(self.services.stop(), self.jobs.stop(), self.worker_pools.stop())

    @handles("run.projects.locations.operations.get")
    async def get_operation(self, call: Call) -> Json:
        return self.context.operations.get(call.params["name"])

    @handles("run.projects.locations.operations.list")
    async def list_operations(self, call: Call) -> Json:
        return call.page(self.context.operations.list(call.params["name"] + "/operations/"), "operations")

    @handles("run.projects.locations.operations.wait")
    async def wait_operation(self, call: Call) -> Json:
        limit = float(str(call.body.get("timeout", f"{_WAIT_SECONDS}s")).removesuffix("s"))
        name = call.params["name"]
        self.context.operations.get(name)
        await self.context.operations.wait(name, min(limit, _WAIT_SECONDS))
        return self.context.operations.get(name)
