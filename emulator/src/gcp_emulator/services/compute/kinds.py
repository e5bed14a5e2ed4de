"""Kinds of Compute Engine's resources, each declared once: every standard method follows from it.

Compute Engine has rules of its own instead of Google's API improvement proposals: resources live in a zone, a region or in ``global``, changes are
operations of that place, what must not be overwritten unseen has a fingerprint, labels one of their own.
Source: https://cloud.google.com/compute/docs/reference/rest/v1, and the recordings that facts.yaml names.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gcp_emulator.engine import clock, discovery
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.discovery import Api
from gcp_emulator.engine.errors import Json, already_exists, invalid_argument, not_found
from gcp_emulator.engine.scopes import Scope
from gcp_emulator.engine.service import Call
from gcp_emulator.services.compute import places

NAME = r"(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)"
#: What only Google writes, of every kind, though the document does not always say readOnly.
GOOGLES = frozenset(
    {"creationTimestamp", "fingerprint", "id", "kind", "labelFingerprint", "selfLink", "selfLinkWithId"}
)
#: The fingerprint of no labels at all, as seen in answers everywhere.
_NO_LABELS = "42WmSpB8rSM="

Complete = Callable[[Call, str, Json, Json | None], Json]
"""Given the call, the path, the resource about to be stored and the one that is stored: the resource as it is stored. Raises ApiError."""
Show = Callable[[Context, str, Json], Json]
Work = Callable[[], Awaitable[None] | None]
"""What an operation does: at once, or in its own time. Raises ApiError."""
Effect = Callable[[Context, str, Json], Awaitable[None] | None]
Action = Callable[[Any, Call], Json]
"""What answers a verb, given the `methods.Methods` of the kind and the call. Raises ApiError."""
Users = Callable[[Context, str, Json], Iterator[str]]
Keeps = Callable[[Json, str, str], bool]
"""Given a resource that is to go, its path, and the path of one that names it: whether that keeps it."""


def _unchanged(call: Call, path: str, resource: Json, before: Json | None) -> Json:
    return resource


def _nothing(context: Context, path: str, resource: Json) -> None:
    return None


def _as_stored(context: Context, path: str, resource: Json) -> Json:
    return resource


def _usual(verb: str, resource: Json) -> str:
    return ""


def _nobody(context: Context, path: str, resource: Json) -> Iterator[str]:
    return iter(())


def _keeps(resource: Json, path: str, user: str) -> bool:
    return True


@dataclass(frozen=True)
class Kind:
    """One kind of resource. The document says the rest: names, fields, where there are such resources."""

    #: The message of the document.
    schema: str
    #: The last part of its path; the methods of several collections of the document may be about one kind (``addresses``, ``globalAddresses``).
    collection: str
    methods: tuple[str, ...]
    #: How it is called in texts.
    noun: str
    #: Fields that a new resource must have.
    required: tuple[str, ...] = ("name",)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    #: Fields that never change.
    immutable: frozenset[str] = frozenset({"name"})
    #: Fields, at any depth, that name other resources, and which of them are shown as they were written; the others are shown as links.
    refers: frozenset[str] = frozenset()
    as_written: frozenset[str] = frozenset()
    #: Checks and completes what is about to be stored.
    complete: Complete = _unchanged
    #: Which of the resources that name one keep it from being deleted.
    kept_by: Keeps = _keeps
    #: The paths of what uses one without naming it (an instance an address, by its number).
    used_by: Users = _nobody
    #: Completes what is shown.
    show: Show = _as_stored
    #: What follows when one has been made, changed by patch or update, and when one is gone.
    made: Effect = _nothing
    changed: Effect = _nothing
    gone: Effect = _nothing
    #: Verbs that write the fields of their body (``setTarget``).
    setters: frozenset[str] = frozenset()
    #: Verbs that do more than the standard ones, or something else, and what answers them.
    actions: Mapping[str, Action] = field(default_factory=dict)
    #: Standard verbs of the document that are not answered.
    leaves_out: frozenset[str] = frozenset()
    #: Verbs whose operations are done when they are answered, also of one collection alone (``urlMaps.insert``).
    at_once: frozenset[str] = frozenset({"setLabels"})
    #: What these say of their progress.
    progress: int = 0
    #: What operations are called that have not the name of their verb.
    operation_types: Mapping[str, str] = field(default_factory=dict)
    #: The same where it depends on the resource: given the verb and the resource, the name, or "".
    operation_type_of: Callable[[str, Json], str] = _usual

    @property
    def store(self) -> str:
        """The collection in the store; resources are in it by path."""
        return f"compute.{self.collection}"

    @cached_property
    def fields(self) -> Mapping[str, Json]:
        """The fields of the message."""
        found: Mapping[str, Json] = document().schemas[self.schema]["properties"]
        return found

    # ---------------------------------------------------------------- for the service and the other kinds

    def find(self, context: Context, path: str) -> Json | None:
        """The resource as it is stored, or None."""
        return context.store.collection(self.store).get(path)

    def require(self, context: Context, path: str) -> Json:
        """The resource as it is stored; ApiError NOT_FOUND."""
        found = self.find(context, path)
        if found is None:
            raise not_found(f"The resource '{path}' was not found", reason="notFound")
        return found

    def of(self, context: Context, prefix: str) -> Iterator[tuple[str, Json]]:
        """Path and resource of all whose paths begin so."""
        return iter(context.store.collection(self.store).items(prefix))

    def put(self, context: Context, path: str, resource: Json) -> None:
        """Stores a resource; what follows from its content is written anew."""
        if "fingerprint" in self.fields:
            resource["fingerprint"] = fingerprint(
                {name: resource[name] for name in resource if name not in GOOGLES}
            )
        if "labelFingerprint" in self.fields:
            resource["labelFingerprint"] = (
                fingerprint(resource["labels"]) if resource.get("labels") else _NO_LABELS
            )
        context.store.collection(self.store).put(path, resource)

    def add(self, context: Context, path: str, resource: Json) -> Json:
        """Makes a resource that nobody was there to ask for, and returns it."""
        made = self.new(path, resource)
        self.put(context, path, made)
        self.made(context, path, made)
        return made

    def view(self, context: Context, path: str, resource: Json) -> Json:
        """The resource as the API shows it."""
        shown = {**resource, "kind": self.kind_of(self.schema), "selfLink": places.link_to(path)}
        if "selfLinkWithId" in self.fields:
            shown["selfLinkWithId"] = places.link_to(f"{path.rpartition('/')[0]}/{resource['id']}")
        scope = scope_of(path)
        if scope.place and (where := scope.kind.removesuffix("s")) in self.fields:
            shown[where] = places.link_to(scope.path)
        names = self.refers - self.as_written
        linked = self._linked(
            shown, names, lambda link: places.path_of(link, scope.project, context.projects)
        )
        return self.show(context, path, linked)

    def _linked(
        self, value: Any, names: frozenset[str], path_of: Callable[[str], str], *, named: bool = False
    ) -> Any:
        if isinstance(value, dict):
            return {key: self._linked(one, names, path_of, named=key in names) for key, one in value.items()}
        if isinstance(value, list):
            return [self._linked(one, names, path_of, named=named) for one in value]
        is_link = named and isinstance(value, str) and places.is_path(value)
        return places.link_to(path_of(value)) if is_link else value

    def references(self, resource: Any, *, named: bool = False) -> Iterator[str]:
        """What a resource names others by."""
        if isinstance(resource, dict):
            for key, one in resource.items():
                yield from self.references(one, named=key in self.refers)
        elif isinstance(resource, list):
            for one in resource:
                yield from self.references(one, named=named)
        elif named and isinstance(resource, str) and places.is_path(resource):
            yield resource

    def referred(self, call: Call, name: str, link: str) -> tuple[str, Json]:
        """Path and resource that a field refers to; ApiError INVALID_ARGUMENT."""
        return self.refer(call.context, call.params["project"], name, link)

    def refer(self, context: Context, project: str, name: str, link: str) -> tuple[str, Json]:
        """As :meth:`referred`, for what a project's resource names outside a call."""
        path = places.path_of(link, project, context.projects)
        found = self.find(context, path)
        if found is None:
            raise invalid_argument(
                f"Invalid value for field 'resource.{name}': '{link}'. The referenced {self.noun} resource cannot be found.",
                reason="invalid",
            )
        return path, found

    def refuse_second(self, context: Context, path: str) -> None:
        """ApiError ALREADY_EXISTS when there is one at this path."""
        if self.find(context, path) is not None:
            raise already_exists(f"The resource '{path}' already exists", reason="alreadyExists")

    def path(self, call: Call) -> str:
        """The path of the resource that a call is about."""
        last = re.findall(r"\{(\w+)\}", call.method.path)[-1]
        return f"{Scope.of(call.params).path}/{self.collection}/{call.params[last]}"

    def operation_type(self, method_id: str, resource: Json) -> str:
        """What the operation of a method with a resource is called."""
        collection, _, verb = method_id.removeprefix("compute.").partition(".")
        if own := self.operation_type_of(verb, resource):
            return own
        return self.operation_types.get(f"{collection}.{verb}") or self.operation_types.get(verb) or verb

    def is_at_once(self, method_id: str) -> bool:
        """Whether the operation of a method is done when it is answered."""
        return not self.at_once.isdisjoint({method_id.removeprefix("compute."), method_id.rpartition(".")[2]})

    def new(self, path: str, resource: Json) -> Json:
        return {
            **copy.deepcopy(dict(self.defaults)),
            **resource,
            "name": path.rpartition("/")[2],
            "id": str(10**18 + secrets.randbelow(8 * 10**18)),
            "creationTimestamp": clock.timestamp(),
        }

    @staticmethod
    def kind_of(schema: str) -> str:
        default: str = document().schemas[schema]["properties"]["kind"]["default"]
        return default


def document() -> Api:
    """The discovery document."""
    return discovery.load("compute", "v1")


def fingerprint(content: Json) -> str:
    """A digest in the form of Google's fingerprints."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()
    return base64.urlsafe_b64encode(digest[:8]).decode()


def scope_of(path: str) -> Scope:
    """Where a path is."""
    parts = path.split("/")
    return (
        Scope(parts[1])
        if parts[2] == "global"
        else Scope.of({"project": parts[1], parts[2].removesuffix("s"): parts[3]})
    )
