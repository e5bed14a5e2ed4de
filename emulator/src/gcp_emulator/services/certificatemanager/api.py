"""Certificate Manager v1: certificates, authorizations by DNS and certificate maps are stored (see `tables`); none is issued, and nothing serves one."""

from __future__ import annotations

from collections.abc import Iterable

from gcp_emulator.engine.errors import Json
from gcp_emulator.engine.service import Call, Service, handles
from gcp_emulator.engine.tables import Table
from gcp_emulator.services.certificatemanager.tables import CERTIFICATES, TABLES


class CertificateManager(Service):
    api = "certificatemanager"
    versions = ("v1",)

    def tables(self) -> Iterable[Table]:
        return TABLES

    def hidden(self) -> Iterable[bytes]:
        """The keys of certificates."""
        for _, certificate in self.context.store.collection(CERTIFICATES.collection).items():
            if key := certificate.get("selfManaged", {}).get("pemPrivateKey"):
                yield key.encode()

    @handles("certificatemanager.projects.locations.operations.get")
    async def get_operation(self, call: Call) -> Json:
        return self.context.operations.get(call.params["name"])
