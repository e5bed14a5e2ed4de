"""Cloud Run's tables have a row for everything that can be asked of Google (discovery document run:v2), and for nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._fields import Change, Field, Kind
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import ResourceSpec
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import JOB, SERVICE, WORKER_POOL

from tests.contract.wire import ROOT

SCHEMAS: dict[str, Any] = json.loads(
    (ROOT / "emulator/src/gcp_emulator/services/run/discovery/v2.json").read_text("utf-8")
)["schemas"]
PREFIX = "GoogleCloudRunV2"
#: What cannot be an option, and why.
NO_OPTIONS = {
    "Service.name": "the module's own option",
    "Job.name": "the module's own option",
    "WorkerPool.name": "the module's own option",
    "Service.etag": "the engine's guard",
    "Job.etag": "the engine's guard",
    "WorkerPool.etag": "the engine's guard",
    "WorkerPool.customAudiences": "not supported, and ignored by Cloud Run",
    "MultiRegionSettings.multiRegionId": "Google's own name for it",
    "SourceCode.inlinedSource": "Cloud Run puts cloudStorageSource in its place, so it could never be compared",
}
#: By the type, and the format, of a property.
TYPES = {
    "boolean": "bool",
    "integer": "int",
    "number": "float",
    "string": "str",
    "string/int64": "int",
    "string/google-duration": "str",
}
#: Values that Google lists and does not take: "Cloud Run supports ALPHA, BETA, and GA".
NO_STAGES = {"UNIMPLEMENTED", "PRELAUNCH", "EARLY_ACCESS", "DEPRECATED"}


def properties(name: str) -> dict[str, dict[str, Any]]:
    """The properties of a schema that can be sent."""
    return {
        key: schema
        for key, schema in SCHEMAS[PREFIX + name].get("properties", {}).items()
        if not schema.get("readOnly") and "Output only" not in schema.get("description", "")
    }


def schema_of(schema: dict[str, Any]) -> str:
    """The schema of the dictionary, or of each item of the list, that a property is; "" for others."""
    reference = schema.get("$ref") or schema.get("items", {}).get("$ref") or ""
    return str(reference).removeprefix(PREFIX)


def differing(name: str, rows: tuple[Field, ...]) -> list[str]:
    """How the rows of a dictionary differ from its schema."""
    known = properties(name)
    by_path = {row.path: row for row in rows if row.change is not Change.OUTPUT}
    found = [f"{name}.{path}" for path in known.keys() ^ by_path.keys() if f"{name}.{path}" not in NO_OPTIONS]
    for path, row in by_path.items():
        schema = known.get(path, {})
        item = schema.get("items", schema)
        inner = schema_of(schema)
        is_free = "additionalProperties" in schema or (inner and not properties(inner))
        if (schema.get("type") == "array") != row.is_list or bool(is_free) != (row.kind is Kind.MAP):
            found.append(f"{name}.{path} is no {row.kind.value}")
        if inner and not is_free:
            found += differing(inner, row.fields)
        elif not is_free:
            kind = "/".join(
                filter(None, [item["type"], item.get("format") if item["type"] == "string" else ""])
            )
            if TYPES[kind] != row.type and row.type != "raw":
                found.append(f"{name}.{path} is no {row.type}")
        choices = {one for one in item.get("enum", []) if not one.endswith("_UNSPECIFIED")} - NO_STAGES
        if choices != set(row.choices):
            found.append(f"{name}.{path} has other choices: {sorted(choices)}")
    return found


@pytest.mark.parametrize(("name", "spec"), [("Service", SERVICE), ("Job", JOB), ("WorkerPool", WORKER_POOL)])
def test_every_field_of_cloud_run_has_a_row(name: str, spec: ResourceSpec) -> None:
    assert sorted(set(differing(name, spec.fields))) == []


def test_what_cannot_be_an_option_is_there() -> None:
    for name in NO_OPTIONS:
        schema, _, key = name.partition(".")
        assert key in SCHEMAS[PREFIX + schema]["properties"], name
