"""What others ask of the metadata service: a metadata server for each instance that they run."""

from __future__ import annotations

from typing import Protocol

from gcp_emulator.engine.identity import Identity
from gcp_emulator.front.http import Answer


class MetadataServers(Protocol):
    """Metadata servers, each for one instance."""

    def server(
        self, identity: Identity, project: str, region: str, *, instance_id: str, zone: str | None = None
    ) -> Answer:
        """What answers the requests of one instance (see ``front.server.http_handler``).

        ``identity`` is the service account that the instance runs as, ``project`` a project id, ``region`` as in
        ``us-central1``; ``zone`` defaults to ``REGION-1``, which Cloud Run reports.
        """

    def serve_as(self, email: str, project: str, region: str) -> None:
        """Answers whoever asks at the emulator's port as an instance that runs as the service account ``email``."""
