"""Routing over every vendored discovery document."""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

import pytest
from gcp_emulator.engine.discovery import Api, Method, load, vendored

#: What Compute Engine's document says of names: of one that may be a number, and of one that has slashes.
NAMES = ("([a-z](?:[-a-z0-9]{0,61}[a-z0-9])?|[1-9][0-9]{0,19})", "[a-z](?:[-a-zA-Z0-9/]{0,255}[a-zA-Z0-9])?")
SERVICES = resources.files("gcp_emulator").joinpath("services")


def _example(api: Api, method: Method, base: str) -> str:
    """A path that fits the method's template and the patterns of its parameters."""

    def value(found: re.Match[str]) -> str:
        pattern = method.parameters[found[2]].pattern if found[1] else None
        text = (pattern or "x1").removeprefix("^").removesuffix("$")
        for any_name in (*NAMES, "[^/]+", ".*"):
            text = text.replace(any_name, "x1")
        return text

    return f"/{base}" + re.sub(r"\{(\+?)([^}]+)\}", value, method.path)


@pytest.mark.parametrize(("name", "version"), vendored())
def test_every_method_routes_to_itself(name: str, version: str) -> None:
    api = load(name, version)
    text = SERVICES.joinpath(f"{name}/discovery/{version}.json").read_text("utf-8")
    raw: dict[str, Any] = json.loads(text)
    assert len(api.methods) == text.count('"httpMethod":')
    lost = []
    for method in api.methods.values():
        found = api.route(method.http, _example(api, method, raw["servicePath"]))
        if found is None or found[0].id != method.id:
            lost.append((method.id, found and found[0].id))
    assert lost == []


def test_parameters_are_decoded_and_custom_verbs_come_first() -> None:
    api = load("secretmanager", "v1")
    found = api.route("GET", "/v1/projects/p/secrets/s/versions/1:access")
    assert found is not None
    method, path, upload = found
    assert (method.id, upload) == ("secretmanager.projects.secrets.versions.access", False)
    assert path == {"name": "projects/p/secrets/s/versions/1"}


def test_object_names_keep_their_slashes() -> None:
    found = load("storage", "v1").route("GET", "/storage/v1/b/media/o/a%2Fb%20c.png")
    assert found is not None
    assert found[1] == {"bucket": "media", "object": "a/b c.png"}


def test_upload_paths_are_told_from_plain_ones() -> None:
    api = load("storage", "v1")
    for path, upload in (("/upload/storage/v1/b/media/o", True), ("/storage/v1/b/media/o", False)):
        found = api.route("POST", path)
        assert found is not None
        assert (found[0].id, found[2]) == ("storage.objects.insert", upload)


def test_an_unknown_path_and_an_unknown_verb_differ() -> None:
    api = load("run", "v2")
    known = "/v2/projects/p/locations/r/services/s"
    assert api.route("PUT", known) is None
    assert api.has_path(known)
    assert not api.has_path("/v2/projects/p/nothing")
