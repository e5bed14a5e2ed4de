"""Cloud Run Admin API v2, and the addresses of the services that run.

Services, revisions and traffic are in `services`, their addresses in `serving`, jobs in `jobs`; `templates` says
what is refused, `containers` makes containers of templates, and `neighbours` is the only place that knows other services.
"""

from __future__ import annotations

import asyncio

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.service import Call, handles
from gcp_emulator.services.run.jobs import JobsApi
from gcp_emulator.services.run.serving import Serving

_WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.05


class CloudRun(Serving, JobsApi):
    """https://run.googleapis.com/v2 and https://*.run.app."""

    api = "run"
    versions = ("v2",)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        context.ports.offer(CloudRun, self)

    async def start(self) -> None:
        await self.start_services()
        await self.start_jobs()

    async def stop(self) -> None:
        await asyncio.gather(self.stop_services(), self.stop_jobs())

    @handles("run.projects.locations.operations.get")
    async def get_operation(self, call: Call) -> Json:
        return self.context.operations.get(call.params["name"])

    @handles("run.projects.locations.operations.list")
    async def list_operations(self, call: Call) -> Json:
        return call.page(self.context.operations.list(call.params["name"] + "/operations/"), "operations")

    @handles("run.projects.locations.operations.wait")
    async def wait_operation(self, call: Call) -> Json:
        limit = float(str(call.body.get("timeout", f"{_WAIT_SECONDS}s")).removesuffix("s"))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(limit, _WAIT_SECONDS)
        while not (operation := self.context.operations.get(call.params["name"])).get("done"):
            if loop.time() > deadline:
                break
            await asyncio.sleep(_POLL_SECONDS)
        return operation
