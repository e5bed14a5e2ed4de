"""Compute Engine v1: networks that other services are put into, and load balancers, as they are stored (`networks`, `balancing`), and instances with
what belongs to them (`instances`, `disks`, `templates`, `groups`, `managers`), which run where something behind `workloads.machines` runs them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from functools import partial
from typing import ClassVar

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.describe import Page, Section, View
from gcp_emulator.engine.errors import ApiError, ErrorStyle, Json
from gcp_emulator.engine.scopes import Scope, ScopedOperations
from gcp_emulator.engine.service import Call, Service, handles
from gcp_emulator.front.messages import Response
from gcp_emulator.services.compute import (
    balancing,
    catalogue,
    disks,
    groups,
    instances,
    machines,
    managers,
    networks,
    places,
    rollouts,
    templates,
)
from gcp_emulator.services.compute.describe import describe
from gcp_emulator.services.compute.kinds import Kind
from gcp_emulator.services.compute.lists import selected
from gcp_emulator.services.compute.methods import Methods
from gcp_emulator.services.compute.networks import NETWORKS
from gcp_emulator.services.compute.outside import Outside
from gcp_emulator.services.compute.ports import MachinePorts, Networks, Rollouts
from gcp_emulator.services.compute.reach import Reach
from gcp_emulator.services.oslogin.ports import LoginProfiles

log = logging.getLogger(__name__)
KINDS = (
    *networks.KINDS,
    *balancing.KINDS,
    *disks.KINDS,
    *templates.KINDS,
    *instances.KINDS,
    *groups.KINDS,
    *managers.KINDS,
)


class Compute(Service):
    api = "compute"
    error_style: ClassVar[ErrorStyle] = "legacy"
    page = Page("/instances", "Virtual machines")
    public_projects: ClassVar[frozenset[str]] = catalogue.public_projects()

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._operations = ScopedOperations(
            context.operations,
            context.store.collection("compute.operations"),
            places.link_to,
            "compute#operation",
        )
        #: The projects that have had their default network.
        self._prepared = context.store.collection("compute.prepared")
        #: The operations that a ``requestId`` was given for.
        self._requests = context.store.collection("compute.requests")
        self._rollouts = rollouts.Tasks(context)
        self._catalogue = catalogue.Catalogue()
        context.ports.offer(Networks, self)
        context.ports.offer(Rollouts, self._rollouts)
        reach = Reach(context)
        context.ports.offer(MachinePorts, reach)
        context.ways.add(Outside(context, reach).way)
        context.ports.find(LoginProfiles).look_at_instances(partial(machines.accounts_of, context))

    def parts(self) -> Iterable[object]:
        return (self, self._catalogue)

    async def start(self) -> None:
        """Brings back what was running, all at a time; an instance whose machine does not start again is stopped."""
        found = dict(machines.instances(self.context, "projects/"))
        await self.context.machines.open(found.keys())
        await asyncio.gather(
            *(self._bring_back(path) for path, one in found.items() if one["status"] != "TERMINATED")
        )
        self._rollouts.resume()

    async def _bring_back(self, path: str) -> None:
        try:
            await machines.start(self.context, path)
        except ApiError as error:
            log.warning("%s: %s", path, error.message)
            await machines.stop(self.context, path)

    async def stop(self) -> None:
        """Ends the machines; those that ran run again after the next start."""
        await self._rollouts.stop()
        await self.context.machines.close()

    async def describe(self, view: View) -> Section | None:
        return None if view.part else describe(self.context, view)

    def tables(self) -> Iterable[Methods]:
        return [self._methods(kind) for kind in KINDS]

    def _methods(self, kind: Kind) -> Methods:
        return Methods(kind, KINDS, self._operations, self._prepare, self._requests)

    def _prepare(self, project: str) -> None:
        if project not in self._prepared:
            self._prepared.put(project, {})
            networks.make_default(self.context, project)

    # For the emulator's other services.

    def find(self, name: str) -> Json | None:
        """A resource by its path, as the API shows it, or None."""
        self._prepare(name.split("/")[1])
        found = ((kind, kind.find(self.context, name)) for kind in KINDS if f"/{kind.collection}/" in name)
        return next((kind.view(self.context, name, one) for kind, one in found if one is not None), None)

    def declare(self, project: str, name: str, region: str, cidr: str) -> str:
        """A network of custom mode with one subnetwork of the same name, unless it is there; returns its path."""
        self._prepare(project)
        return networks.declare(self.context, project, name, region, cidr)

    def reserve(self, network: str, name: str, cidr: str) -> None:
        """Reserves a range of the network for peering, unless there is one of this name."""
        networks.reserve(self.context, network, name, cidr)

    def add_peering(self, network: str, peering: Json) -> None:
        """Peers a network; a peering of the same name is replaced. ApiError NOT_FOUND."""
        networks.add_peering(self.context, network, peering)

    def remove_peering(self, network: str, name: str) -> None:
        """Ends a peering. ApiError NOT_FOUND, INVALID_ARGUMENT where there is none of this name."""
        networks.remove_peering(self.context, network, name)

    # What is more than storing.

    @handles("compute.networks.removePeering")
    async def end_peering(self, call: Call) -> Json:
        path = NETWORKS.path(call)
        network = NETWORKS.require(self.context, path)
        work = partial(networks.remove_peering, self.context, path, call.body.get("name", ""))
        return self._methods(NETWORKS).begin(call, path, network, work)

    # Places.

    @handles("compute.regions.list")
    async def list_regions(self, call: Call) -> Json:
        project = call.params["project"]
        return self._places(call, "region", [places.region(project, name) for name in places.regions()])

    @handles("compute.regions.get")
    async def get_region(self, call: Call) -> Json:
        places.require(call.params)
        return places.region(call.params["project"], call.params["region"])

    @handles("compute.zones.list")
    async def list_zones(self, call: Call) -> Json:
        project = call.params["project"]
        found = [places.zone(project, name) for region in places.regions() for name in places.zones(region)]
        return self._places(call, "zone", found)

    @handles("compute.zones.get")
    async def get_zone(self, call: Call) -> Json:
        places.require(call.params)
        return places.zone(call.params["project"], call.params["zone"])

    @staticmethod
    def _places(call: Call, kind: str, found: list[Json]) -> Json:
        page = call.page(selected(call, found), "items", size_parameter="maxResults", default=500)
        path = f"projects/{call.params['project']}/{kind}s"
        return {"kind": f"compute#{kind}List", "id": path, "selfLink": places.link_to(path), **page}

    # Operations.

    @handles("compute.globalOperations.get", "compute.regionOperations.get", "compute.zoneOperations.get")
    async def get_operation(self, call: Call) -> Json:
        return self._operations.get(Scope.of(call.params), call.params["operation"])

    @handles("compute.globalOperations.wait", "compute.regionOperations.wait", "compute.zoneOperations.wait")
    async def wait_for_operation(self, call: Call) -> Json:
        return await self._operations.wait(Scope.of(call.params), call.params["operation"])

    @handles("compute.globalOperations.list", "compute.regionOperations.list", "compute.zoneOperations.list")
    async def list_operations(self, call: Call) -> Json:
        scope = Scope.of(call.params)
        found = selected(call, self._operations.list(scope))
        page = call.page(found, "items", size_parameter="maxResults", default=500)
        path = f"{scope.path}/operations"
        return {"kind": "compute#operationList", "id": path, "selfLink": places.link_to(path), **page}

    @handles(
        "compute.globalOperations.delete", "compute.regionOperations.delete", "compute.zoneOperations.delete"
    )
    async def delete_operation(self, call: Call) -> Response:
        self._operations.delete(Scope.of(call.params), call.params["operation"])
        return Response(204)
