"""What tests with a real MySQL server begin with."""

from __future__ import annotations

import os

import pytest
from gcp_emulator.databases.mysql import accounts
from gcp_emulator.databases.mysql.binaries import MysqlBinaries, find_binaries

WITHOUT = "no MySQL server was brought (tools/mysql.py)"


def installed() -> list[MysqlBinaries]:
    """The servers that are there; the module is skipped without one, on CI it fails."""
    found = find_binaries()
    if not found and "CI" not in os.environ:
        pytest.skip(WITHOUT, allow_module_level=True)
    assert found, WITHOUT
    return found


def way_of(binaries: MysqlBinaries) -> str:
    """How accounts log in that need not be of one way."""
    return accounts.NATIVE_PASSWORD if binaries.has_native_password else accounts.CACHING_SHA2
