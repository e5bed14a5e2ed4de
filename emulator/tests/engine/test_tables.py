"""What a table can say beyond what the services' own tests see: guards, operations, names in paths, wrapped bodies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from gcp_emulator.engine.discovery import load
from gcp_emulator.engine.errors import ApiError
from gcp_emulator.engine.identity import Identity
from gcp_emulator.engine.service import Call
from gcp_emulator.engine.tables import Table
from gcp_emulator.front.messages import Headers, Request

from emulator.tests.running import RunningEmulator

METHODS = "logging.projects.exclusions"
PARENT = "projects/test-project"
NAME = f"{PARENT}/exclusions/one"
TABLE = Table(("logging", "v2", "LogExclusion"), (METHODS,), "[a-z]+", required=("filter",))


class Caller:
    """Calls the methods of a table."""

    def __init__(self, emulator: RunningEmulator, table: Table) -> None:
        self._emulator = emulator
        self._handlers = table.handlers()

    def __call__(self, verb: str, body: dict[str, Any] | None = None, **params: Any) -> Any:
        where = {"parent": PARENT} if verb in ("create", "list") else {"name": NAME}
        method = load("logging", "v2").methods[f"{METHODS}.{verb}"]
        request = Request("POST", "https", "logging.googleapis.com", "/", "", Headers([]))
        call = Call(
            method, where | params, body or {}, Identity("user:a@b.c"), request, self._emulator.context
        )
        return self._emulator.run(self._handlers[f"{METHODS}.{verb}"](call))


def test_the_methods_are_those_of_the_document() -> None:
    assert set(TABLE.handlers()) == {
        f"{METHODS}.{verb}" for verb in ("create", "get", "list", "patch", "delete")
    }


def test_what_never_changes_may_be_said_again(emulator: RunningEmulator) -> None:
    call = Caller(emulator, replace(TABLE, immutable=frozenset({"description"})))
    call("create", {"name": "one", "filter": "f", "description": "d"})
    assert call("patch", {"filter": "g", "description": "d"})["filter"] == "g"
    with pytest.raises(ApiError, match="The field 'description' cannot be changed"):
        call("patch", {"description": "other"})
    with pytest.raises(ApiError, match="The field 'description' cannot be changed"):
        call("patch", {}, updateMask="description")


def test_defaults_are_filled_in_and_google_s_fields_ignored(emulator: RunningEmulator) -> None:
    call = Caller(
        emulator,
        replace(TABLE, defaults={"disabled": False}, output_only=frozenset({"description"}), times=()),
    )
    assert call("create", {"name": "one", "filter": "f", "description": "mine"}) == {
        "name": NAME,
        "filter": "f",
        "disabled": False,
    }


def test_a_fingerprint_has_to_be_the_current_one(emulator: RunningEmulator) -> None:
    call = Caller(emulator, replace(TABLE, guard="fingerprint"))
    made = call("create", {"name": "one", "filter": "f"})
    for stale in ({}, {"fingerprint": "old"}):
        with pytest.raises(ApiError) as refused:
            call("patch", {"filter": "g", **stale})
        assert refused.value.code == 412
    changed = call("patch", {"filter": "g", "fingerprint": made["fingerprint"]})
    assert changed["fingerprint"] != made["fingerprint"]


def test_changes_may_take_time(emulator: RunningEmulator) -> None:
    call = Caller(emulator, replace(TABLE, operation="type.googleapis.com/x.Exclusion"))

    def ended(operation: dict[str, Any]) -> Any:
        emulator.run(emulator.context.operations.wait(operation["name"], 5))
        return emulator.call(emulator.context.operations.get, operation["name"])["response"]

    begun = call("create", {"name": "one", "filter": "f"})
    assert begun["done"] is False
    assert ended(begun) == {"@type": "type.googleapis.com/x.Exclusion", **call("get")}
    assert ended(call("delete")) == {"@type": "type.googleapis.com/google.protobuf.Empty"}
    with pytest.raises(ApiError, match="not found"):
        call("get")


def test_a_name_may_be_in_the_path_and_the_resource_in_a_field(emulator: RunningEmulator) -> None:
    call = Caller(emulator, replace(TABLE, id_from="path", wrapped={"patch": "exclusion"}, key="items"))
    call("create", {"filter": "f"}, name=NAME)
    changed = call("patch", {"exclusion": {"filter": "g", "disabled": True}, "updateMask": "filter"})
    assert (changed["filter"], "disabled" in changed) == ("g", False)
    assert call("list") == {"items": [changed]}
    with pytest.raises(ApiError, match="invalid argument"):
        call("create", {"filter": "f"}, name=f"{NAME}1")


def test_a_policy_goes_with_its_resource(emulator: RunningEmulator) -> None:
    call = Caller(emulator, TABLE)
    call("create", {"name": "one", "filter": "f"})
    emulator.grant(NAME, "roles/viewer", "user:a@b.c")
    call("delete")
    assert "bindings" not in emulator.call(emulator.context.iam.get_policy, NAME)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (NAME, (PARENT, "one")),
        ("projects/exclusions/exclusions/one", ("projects/exclusions", "one")),
        ("projects/p/locations/l/buckets/b/exclusions/a%2Fb", ("projects/p/locations/l/buckets/b", "a/b")),
    ],
)
def test_a_name_is_taken_apart_where_its_collection_is(name: str, parts: tuple[str, str]) -> None:
    assert TABLE.split(name) == parts
