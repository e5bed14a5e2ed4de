"""What the discovery documents leave out, as data: ``services/<api>/facts.yaml``.

Every file says where its facts come from and whether each group was ``verified`` (seen in a real response or quoted
from the reference page) or is ``assumed``. ``recorded`` names the recorded conversations with Google Cloud (of
GoogleCloudPlatform/k8s-config-connector, ``pkg/test/resourcefixture``) that facts were taken from; a comment says which. Shape::

    source: https://...
    status: verified | assumed
    recorded: [logginglogsink-projectsink]
    methods:
      secretmanager.projects.secrets.create:
        permission: secretmanager.secrets.create     # one, a list, or `none`
        resource: "{parent}"                         # the resource it is checked on; default: resource|name|parent
        required: [replication]                      # body fields (dotted)
      logging.{projects,folders}.sinks.get: ...      # each of these
    output_only: {Secret: [name, createTime]}        # beyond the document's readOnly
    told: {PolicyRule: [enforce]}                    # answers leave out fields that are zero, but these (in a oneof, optional)
    tolerated_query: [project]                       # unknown to the document, sent by shipped clients
    tolerated_body: [useEmailAzp]                    # as tolerated_query, for names in bodies
    lenient_body: false                              # unknown body names ignored instead of refused
    empty_enums: false                               # "" taken for an enum that is not said
    always_enabled: false                            # answers without being enabled in the project
    durations: {run.projects.locations.jobs.run: 8}  # seconds of an operation, by method or by the key of its start
    quotas:                                          # calls in a minute; the first that has the method in it counts
      - metric: Read requests                        # as a refusal names it, with its id beside the API's name
        metric_id: read_regional
        limit: Read requests per minute per region
        limit_id: ReadPerMinutePerProjectRegion
        per: region                                  # project | region | user: of each of these
        value: 3000
        methods: ["*.get"]                           # patterns; default: every method
        cost: {a.b.batchGet: 5}                      # where one call counts as more
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Literal

import yaml

from gcp_emulator.engine.errors import Json


@dataclass(frozen=True)
class MethodFacts:
    """``permissions`` is empty for methods that need none; ``resource`` is a template over the path parameters."""

    permissions: tuple[str, ...]
    resource: str | None
    required: tuple[str, ...]


@dataclass(frozen=True)
class Quota:
    """How many calls of some methods in a minute one project, region or user may send."""

    metric: str
    metric_id: str
    limit: str
    limit_id: str
    per: Literal["project", "region", "user"]
    value: int
    methods: list[str] = field(default_factory=lambda: ["*"])
    cost: Mapping[str, int] = field(default_factory=dict)

    def counts(self, method: str) -> bool:
        """Whether calls of a method are counted here."""
        return any(fnmatch.fnmatchcase(method, pattern) for pattern in self.methods)

    def cost_of(self, method: str) -> int:
        """As how many one call of a method counts."""
        return self.cost.get(method, 1)


@dataclass(frozen=True)
class Facts:
    """The facts of one API."""

    methods: dict[str, MethodFacts] = field(default_factory=dict)
    output_only: dict[str, list[str]] = field(default_factory=dict)
    told: dict[str, list[str]] | None = None
    tolerated_query: frozenset[str] = frozenset()
    tolerated_body: frozenset[str] = frozenset()
    lenient_body: bool = False
    empty_enums: bool = False
    always_enabled: bool = False
    durations: Mapping[str, float] = field(default_factory=dict)
    quotas: tuple[Quota, ...] = ()


@cache
def read_yaml(name: str) -> Any:
    """A file of this package, for example ``engine/roles.yaml``; read once and shared, so callers change nothing in it."""
    text = resources.files("gcp_emulator").joinpath(name).read_text("utf-8")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both loaders are safe ones


def _method(raw: Json) -> MethodFacts:
    permission = raw["permission"]
    if permission == "none":
        permission = []
    permissions = (permission,) if isinstance(permission, str) else tuple(permission)
    return MethodFacts(
        permissions=permissions, resource=raw.get("resource"), required=tuple(raw.get("required", ()))
    )


def _spelt_out(methods: str) -> list[str]:
    """``a.{b,c}.d`` is ``a.b.d`` and ``a.c.d``."""
    before, _, rest = methods.partition("{")
    choices, _, after = rest.partition("}")
    return [before + choice + after for choice in choices.split(",")] if rest else [methods]


@cache
def apis() -> tuple[str, ...]:
    """The APIs that have facts, sorted: the names of their folders in ``services``."""
    folders = resources.files("gcp_emulator").joinpath("services").iterdir()
    return tuple(sorted(folder.name for folder in folders if folder.joinpath("facts.yaml").is_file()))


@cache
def load_facts(api: str) -> Facts:
    """The facts of ``api``; KeyError when a method lacks its permission."""
    raw = read_yaml(f"services/{api}/facts.yaml")
    return Facts(
        methods={
            method: _method(entry)
            for spelling, entry in raw.get("methods", {}).items()
            for method in _spelt_out(spelling)
        },
        output_only=raw.get("output_only", {}),
        told=raw.get("told"),
        tolerated_query=frozenset(raw.get("tolerated_query", ())),
        tolerated_body=frozenset(raw.get("tolerated_body", ())),
        lenient_body=bool(raw.get("lenient_body")),
        empty_enums=bool(raw.get("empty_enums")),
        always_enabled=bool(raw.get("always_enabled")),
        durations=raw.get("durations", {}),
        quotas=tuple(Quota(**entry) for entry in raw.get("quotas", ())),
    )
