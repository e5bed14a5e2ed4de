"""Organization Policy v2: policies and custom constraints are stored (see `tables`); nothing is constrained by them."""

from __future__ import annotations

from collections.abc import Iterable

from gcp_emulator.engine.service import Service
from gcp_emulator.engine.tables import Table
from gcp_emulator.services.orgpolicy.tables import CUSTOM_CONSTRAINTS, POLICIES


class OrganizationPolicy(Service):
    api = "orgpolicy"
    versions = ("v2",)

    def tables(self) -> Iterable[Table]:
        return POLICIES, CUSTOM_CONSTRAINTS
