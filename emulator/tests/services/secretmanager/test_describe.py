"""Secrets on the state page: never what they hold."""

from __future__ import annotations

import base64

from gcp_emulator.engine.describe import Badge, Table, View
from gcp_emulator.engine.store import Store
from gcp_emulator.services.secretmanager.describe import describe


def test_secrets_come_with_the_newest_version_first_and_without_what_they_hold() -> None:
    store = Store(None)
    secrets, versions = store.collection("secrets"), store.collection("versions")
    secrets.put("projects/p/secrets/key", {"createTime": "2026-01-01T00:00:00Z", "labels": {"site": "shop"}})
    secrets.put("projects/q/secrets/other", {"createTime": "2026-01-01T00:00:00Z"})
    data = base64.b64encode(b"s3cr3t-value").decode()
    for number in ("9", "10"):
        versions.put(f"projects/p/secrets/key/versions/{number}", {"state": "ENABLED", "data": data})
    section = describe(secrets, versions, View("p", "1"))
    (table,) = section.groups[0].content
    assert isinstance(table, Table)
    ((name, shown, labels, _),) = table.rows
    assert name == "key"
    assert shown.cells == [("10 ", Badge("enabled", "good")), ("9 ", Badge("enabled", "good"))]
    assert labels.cells[0].text == "site=shop"
    assert data not in repr(section)
