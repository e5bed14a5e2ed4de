"""The metadata server: what a running instance is told about itself (`instance`), a virtual machine (`machine`), and their tokens."""

from __future__ import annotations

from collections.abc import Iterable

from gcp_emulator.engine import clock
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.identity import CLOUD_PLATFORM, Identity, identity_of
from gcp_emulator.engine.routes import Route
from gcp_emulator.engine.service import Service
from gcp_emulator.front.http import Answer
from gcp_emulator.front.messages import Headers, Request, Response
from gcp_emulator.services.iam.ports import Accounts
from gcp_emulator.services.metadata.instance import AccountTokens, InstanceMetadata
from gcp_emulator.services.metadata.machine import MachineMetadata
from gcp_emulator.services.metadata.ports import MetadataServers, Told
from gcp_emulator.services.oauth2.ports import IdTokens
from gcp_emulator.workloads.machines import Guest

HOSTS = ("metadata.google.internal", "169.254.169.254", "metadata")


class Metadata(Service):
    """On the operator's side of the port there is no metadata server: a laptop has none.

    Unless the seed names a service account for whoever asks, as in a network of containers that stand for one instance.
    Clients find it by ``GCE_METADATA_HOST`` and ``GCE_METADATA_IP``.
    """

    api = "metadata"
    versions = ()

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._accounts = context.ports.find(Accounts)
        self._id_tokens = context.ports.find(IdTokens)
        context.ports.offer(MetadataServers, self)
        self._answer: Answer | None = None

    def serve_as(self, email: str, project: str, region: str) -> None:
        """Answers from now on as the metadata server of an instance that runs as the service account ``email``."""
        self._answer = self.server(identity_of(email), project, region, instance_id=clock.new_id())

    def server(
        self, identity: Identity, project: str, region: str, *, instance_id: str, zone: str | None = None
    ) -> Answer:
        """See `MetadataServers`."""
        number = self.context.projects.number(project)
        account = {"aliases": ["default"], "email": identity.email, "scopes": [CLOUD_PLATFORM]}
        tree = {
            "instance": {
                "id": instance_id,
                "region": f"projects/{number}/regions/{region}",
                "service-accounts": {"default": account, identity.email: account},
                "zone": f"projects/{number}/zones/{zone or f'{region}-1'}",
            },
            "project": {"numeric-project-id": int(number), "project-id": project},
        }
        return InstanceMetadata(self._tokens_of(identity), tree)

    def machine(self, told: Told, guest: Guest) -> Answer:
        """See `MetadataServers`."""
        tokens = self._tokens_of(identity_of(told.account)) if told.account else None
        return MachineMetadata(self.context, tokens, told, guest)

    def _tokens_of(self, identity: Identity) -> AccountTokens:
        return AccountTokens(self.context.tokens, self._accounts, self._id_tokens, identity)

    def routes(self) -> Iterable[Route]:
        return [Route(host, serve=self.serve) for host in HOSTS]

    async def serve(self, request: Request) -> Response:
        """Answers at the emulator's port as the instance that the seed names."""
        if self._answer is not None:
            return await self._answer(request)
        return Response(404, Headers([("Content-Type", "text/plain")]), b"no metadata server on this side\n")
