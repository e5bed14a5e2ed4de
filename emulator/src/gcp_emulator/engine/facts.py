"""What the discovery documents leave out, as data: ``facts/<api>.yaml``.

Every file says where its facts come from and whether each group was ``verified`` (seen in a real response or quoted
from the reference page) or is ``assumed``. Shape::

    source: https://...
    status: verified | assumed
    methods:
      secretmanager.projects.secrets.create:
        permission: secretmanager.secrets.create     # one, a list, or `none`
        resource: "{parent}"                         # the resource it is checked on; default: resource|name|parent
        required: [replication]                      # body fields (dotted)
    output_only: {Secret: [name, createTime]}        # beyond the document's readOnly
    tolerated_query: [project]                       # unknown to the document, sent by shipped clients
    tolerated_body: [useEmailAzp]                    # as tolerated_query, for names in bodies
    lenient_body: false                              # unknown body names ignored instead of refused
    always_enabled: false                            # answers without being enabled in the project
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

import yaml

from gcp_emulator.engine.errors import Json


@dataclass(frozen=True)
class MethodFacts:
    """``permissions`` is empty for methods that need none; ``resource`` is a template over the path parameters."""

    permissions: tuple[str, ...]
    resource: str | None
    required: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """The facts of one API."""

    methods: dict[str, MethodFacts] = field(default_factory=dict)
    output_only: dict[str, list[str]] = field(default_factory=dict)
    tolerated_query: frozenset[str] = frozenset()
    tolerated_body: frozenset[str] = frozenset()
    lenient_body: bool = False
    always_enabled: bool = False


@cache
def read_yaml(name: str) -> Any:
    """The vendored file ``facts/NAME``; read once and shared, so callers change nothing in it."""
    text = resources.files("gcp_emulator").joinpath(f"facts/{name}").read_text("utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both loaders are safe ones


def _method(raw: Json) -> MethodFacts:
    permission = raw["permission"]
    if permission == "none":
        permission = []
    permissions = (permission,) if isinstance(permission, str) else tuple(permission)
    return MethodFacts(
        permissions=permissions, resource=raw.get("resource"), required=tuple(raw.get("required", ()))
    )


@cache
def load_facts(api: str) -> Facts:
    """The facts of ``api``; KeyError when a method lacks its permission."""
    raw = read_yaml(f"{api}.yaml")
    return Facts(
        methods={method: _method(entry) for method, entry in raw.get("methods", {}).items()},
        output_only=raw.get("output_only", {}),
        tolerated_query=frozenset(raw.get("tolerated_query", ())),
        tolerated_body=frozenset(raw.get("tolerated_body", ())),
        lenient_body=bool(raw.get("lenient_body")),
        always_enabled=bool(raw.get("always_enabled")),
    )
