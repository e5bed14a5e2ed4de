"""What others ask of the metadata service: a metadata server for each instance that they run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.identity import Identity
from gcp_emulator.front.http import Answer
from gcp_emulator.workloads.machines import Guest


@dataclass(frozen=True)
class Told:
    """What a virtual machine is told of itself."""

    #: Its path (``projects/P/zones/Z/instances/I``).
    path: str
    #: The e-mail of the account that it acts as, "" for none, and the scopes of its tokens.
    account: str
    scopes: tuple[str, ...]
    #: What is below ``instance/`` now, by the names there, but for metadata, guest attributes and accounts; folders are dictionaries.
    describe: Callable[[], Json]


class MetadataServers(Protocol):
    """Metadata servers, each for one instance."""

    def server(
        self, identity: Identity, project: str, region: str, *, instance_id: str, zone: str | None = None
    ) -> Answer:
        """What answers the requests of one instance (see ``front.server.http_handler``).

        ``identity`` is the service account that the instance runs as, ``project`` a project id, ``region`` as in
        ``us-central1``; ``zone`` defaults to ``REGION-1``, which Cloud Run reports.
        """

    def machine(self, told: Told, guest: Guest) -> Answer:
        """What answers the requests of one virtual machine. Its metadata is that of ``guest``, which learns what the machine publishes."""

    def serve_as(self, email: str, project: str, region: str) -> None:
        """Answers whoever asks at the emulator's port as an instance that runs as the service account ``email``."""
