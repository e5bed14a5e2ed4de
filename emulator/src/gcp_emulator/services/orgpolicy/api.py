"""Organization Policy v2: policies and custom constraints are stored (see `tables`), and some policies constrain (see `constraints`)."""

from __future__ import annotations

from collections.abc import Iterable

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.service import Service
from gcp_emulator.engine.tables import Table
from gcp_emulator.services.orgpolicy.constraints import OrganizationConstraints
from gcp_emulator.services.orgpolicy.ports import Constraints
from gcp_emulator.services.orgpolicy.tables import CUSTOM_CONSTRAINTS, POLICIES


class OrganizationPolicy(Service):
    api = "orgpolicy"
    versions = ("v2",)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._constraints = OrganizationConstraints(context)
        context.ports.offer(Constraints, self._constraints)

    def parts(self) -> Iterable[object]:
        return (self._constraints,)

    def tables(self) -> Iterable[Table]:
        return POLICIES, CUSTOM_CONSTRAINTS
