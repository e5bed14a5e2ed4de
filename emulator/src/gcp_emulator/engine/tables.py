"""Resources that are only stored: declared as a table, and every method follows from it.

A table says how a resource is named and what of it can be set and changed; types, unknown fields and read-only fields are the
discovery document's, permissions the facts'. What happens beyond storing (a reaction, a check across resources) is a hook.
Standard methods: https://google.aip.dev/131 to 135 (get, list, create, update, delete), 154 (etags), 151 (long-running).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal

from gcp_emulator.engine import clock, discovery
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import (
    Json,
    aborted,
    already_exists,
    invalid_argument,
    not_found,
    precondition_failed,
)
from gcp_emulator.engine.masks import apply_mask, parse_mask
from gcp_emulator.engine.operations import operation_name
from gcp_emulator.engine.service import Call, Handler

Hook = Callable[[Call, str, Json], Json]
"""Given the call, the full name and the resource about to be stored, the resource as it is stored. Raises ApiError."""

Verb = Literal["create", "get", "list", "patch", "update", "delete"]
_VERBS: tuple[Verb, ...] = ("create", "get", "list", "patch", "update", "delete")


def _unchanged(call: Call, name: str, resource: Json) -> Json:
    return resource


def _none_given(context: Context, parent: str) -> Mapping[str, Json]:
    return {}


@dataclass(frozen=True)
class Table:
    """One kind of resource."""

    #: The message of the document, as in ``("logging", "v2", "LogSink")``.
    message: tuple[str, str, str]
    #: What the ids of its methods begin with; its name is the last part (``logging.projects.sinks``). Further spellings follow.
    methods: tuple[str, ...]
    #: The regular expression of the last part of a name (a slash in it is %2F in the full name, see `Service.canonical`), and what is said of one that it does not fit.
    id: str
    bad_id: str = "Request contains an invalid argument."
    #: Where ``create`` finds it: ``query:bucketId``, ``body:name``, ``full:name`` where the body has the full name, or ``path`` for a create
    #: that names the whole resource.
    id_from: str = "body:name"
    #: The path parameter that holds the full name, where it is not called so.
    name: str = "name"
    #: Whether ``name`` in the resource is only the last part.
    short_name: bool = False
    #: The field of the body that holds the resource, by verb; without one the body is the resource.
    wrapped: Mapping[str, str] = field(default_factory=dict)
    #: The key of a list, which by default is the last part of ``methods``.
    key: str = ""
    page_size: int = 100
    #: Fields that a new resource must have.
    required: tuple[str, ...] = ()
    #: Fields that never change after that.
    immutable: frozenset[str] = frozenset()
    #: Fields that are Google's, beyond those that the document marks as read-only.
    output_only: frozenset[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    #: Which of ``createTime`` and ``updateTime`` there are.
    times: tuple[str, ...] = ("createTime", "updateTime")
    #: What guards against lost updates: ``etag`` (a stale one is ABORTED) or ``fingerprint`` (412), which is then asked for.
    guard: Literal["", "etag", "fingerprint"] = ""
    #: The type of the response when changes are long-running operations; "" when they are immediate.
    operation: str = ""
    #: The type of what such an operation tells of itself (google.cloud.common.OperationMetadata), "" for nothing.
    metadata: str = ""
    #: The verbs that, without a mask, replace the resource; others change what the body has.
    replaces: frozenset[str] = frozenset({"update"})
    #: What these replace, where that is not the whole resource.
    replaced: frozenset[str] = frozenset()
    #: What a path of a mask may begin with, where it counts from the request.
    mask_root: str = ""
    #: Whether ``update`` makes what is not there.
    upsert: bool = False
    #: The table of what the resources are in, where that must be there.
    within: Table | None = None
    #: Resources that nobody makes: full name -> resource, of a parent.
    given: Callable[[Context, str], Mapping[str, Json]] = _none_given
    #: Checks and completes what ``create`` and the updates are about to store.
    complete: Hook = _unchanged
    #: What ``delete`` leaves in place of the resource; None: nothing is left.
    deleted: Hook | None = None
    #: How a resource is shown.
    show: Hook = _unchanged
    #: What is said of one that is not there, or is there already: ``{name}``, ``{parent}``, ``{id}``, and by their collections the parts of
    #: the name (``{locations}``).
    missing: str = "Requested entity was not found."
    taken: str = "Requested entity already exists."

    @property
    def kind(self) -> str:
        """The collection in names, as in ``.../sinks/NAME``."""
        return self.methods[0].rpartition(".")[2]

    @property
    def collection(self) -> str:
        """The collection in the store."""
        return f"{self.message[0]}.{self.kind}"

    @cached_property
    def settable(self) -> frozenset[str]:
        """The fields that an update may name."""
        api, version, message = self.message
        fields = discovery.load(api, version).schemas[message]["properties"]
        written = {name for name, schema in fields.items() if not schema.get("readOnly")}
        return frozenset(written - self.output_only - {"name", self.guard})

    # ---------------------------------------------------------------- methods

    def handlers(self) -> dict[str, Handler]:
        """Method id -> what answers it, for the standard methods that the document has."""
        api, version, _ = self.message
        known = discovery.load(api, version).methods
        return {
            f"{prefix}.{verb}": partial(self.answer, verb)
            for prefix in self.methods
            for verb in _VERBS
            if f"{prefix}.{verb}" in known
        }

    async def answer(self, verb: Verb, call: Call) -> Json:
        """What a standard method answers, for a handler that does more beside it."""
        work: Callable[[Call], Awaitable[Json]] = getattr(self, f"_{verb}")
        return await work(call)

    async def _create(self, call: Call) -> Json:
        resource = self._given(call, "create")
        name = self._new_name(call, resource)
        if self.find(call.context, name) is not None:
            raise already_exists(self.said(self.taken, name))
        return self._answer(call, name, self._stored(call, name, self._new(resource)))

    async def _get(self, call: Call) -> Json:
        name = self._name(call)
        return self.view(call, name, self.require(call.context, name))

    async def _list(self, call: Call) -> Json:
        parent = str(call.params.get("parent") or call.params["project"])
        self._require_parent(call.context, parent)
        found = [self.view(call, name, one) for name, one in self.of(call.context, parent)]
        return call.page(found, self.key or self.kind, default=self.page_size)

    async def _patch(self, call: Call) -> Json:
        return self._change(call, "patch")

    async def _update(self, call: Call) -> Json:
        name = self._name(call)
        if self.upsert and self.find(call.context, name) is None:
            self._check_id(self.split(name)[1], name)
            return self._answer(call, name, self._stored(call, name, self._new(self._given(call, "update"))))
        return self._change(call, "update")

    async def _delete(self, call: Call) -> Json:
        name = self._name(call)
        resource = self.require(call.context, name)
        self._check_guard(call, name, str(call.params.get(self.guard) or ""), resource)
        collection = call.context.store.collection(self.collection)
        if self.deleted is not None:
            left = self._stored(call, name, self.deleted(call, name, resource), checked=True)
            return self._answer(call, name, left)
        collection.delete(name)
        call.context.iam.forget(name)
        return self._answer(call, name, None)

    # ---------------------------------------------------------------- for the service itself

    def split(self, name: str) -> tuple[str, str]:
        """The parent and the last part of a full name."""
        found = re.fullmatch(rf"(.+)/{self.kind}/([^/]+)", name, re.DOTALL)
        if found is None:
            raise invalid_argument(f"Invalid resource name '{name}'.", field=self.name)
        return found[1], found[2].replace("%2F", "/")

    def find(self, context: Context, name: str) -> Json | None:
        """The resource as it is stored, or None."""
        stored = context.store.collection(self.collection).get(name)
        return copy.deepcopy(self.given(context, self.split(name)[0]).get(name)) if stored is None else stored

    def require(self, context: Context, name: str) -> Json:
        """The resource as it is stored; ApiError NOT_FOUND."""
        resource = self.find(context, name)
        if resource is None:
            raise not_found(self.said(self.missing, name))
        return resource

    def said(self, text: str, name: str) -> str:
        """A text of the table about one resource."""
        parts = name.split("/")
        values = dict(zip(parts[::2], parts[1::2], strict=False))
        parent, given = self.split(name)
        return text.format(name=name, parent=parent, id=given, **values)

    def of(self, context: Context, parent: str) -> list[tuple[str, Json]]:
        """Name and resource of all below a parent, by name; ``projects/p/locations/-`` is every location."""
        prefix = parent.removesuffix("-") if parent.endswith("/-") else f"{parent}/{self.kind}/"
        stored = dict(context.store.collection(self.collection).items(prefix))
        return sorted({**copy.deepcopy(dict(self.given(context, parent))), **stored}.items())

    def put(self, context: Context, name: str, resource: Json) -> None:
        """Stores a resource, for what else happens to it."""
        context.store.collection(self.collection).put(name, resource)

    def view(self, call: Call, name: str, resource: Json) -> Json:
        """The resource as the API shows it."""
        shown = self.split(name)[1] if self.short_name else name
        return self.show(call, name, {"name": shown, **resource})

    # ---------------------------------------------------------------- steps

    def _name(self, call: Call) -> str:
        name = str(call.params.get(self.name) or call.params["name"])
        self._require_parent(call.context, self.split(name)[0])
        return name

    def _new_name(self, call: Call, resource: Json) -> str:
        source, _, where = self.id_from.partition(":")
        if source == "path":
            name = self._name(call)
            self._check_id(self.split(name)[1], name)
            return name
        # A name in the body may be that of a wrapper's sibling, as the roleId of a role is.
        given = call.params.get(where) if source == "query" else resource.get(where, call.body.get(where))
        given = str(given or "")
        if source == "full":
            parent, given = self.split(call.context.projects.canonical(given))
            if parent != call.params["parent"]:
                raise invalid_argument(
                    f"The {where} is not that of a resource in {call.params['parent']}.", field=where
                )
        name = f"{call.params['parent']}/{self.kind}/{given.replace('/', '%2F')}"
        self._check_id(given, name)
        self._require_parent(call.context, call.params["parent"])
        return name

    def _check_id(self, given: str, name: str) -> None:
        if not re.fullmatch(self.id, given):
            raise invalid_argument(
                self.bad_id.format(id=given, name=name), field=self.id_from.partition(":")[2] or self.name
            )

    def _require_parent(self, context: Context, parent: str) -> None:
        if self.within is not None:
            self.within.require(context, parent)

    def _given(self, call: Call, verb: str) -> Json:
        """The resource in the body, without what only Google writes."""
        wrapper = self.wrapped.get(verb)
        body = call.body.get(wrapper, {}) if wrapper else call.body
        return {name: value for name, value in body.items() if name not in self.output_only}

    def _new(self, resource: Json) -> Json:
        self._require_fields(resource)
        return {**self.defaults, **{name: resource[name] for name in resource if name in self.settable}}

    def _change(self, call: Call, verb: str) -> Json:
        name, changes = self._name(call), self._given(call, verb)
        resource = self.require(call.context, name)
        self._check_guard(call, name, str(changes.get(self.guard) or ""), resource)
        mask = str(call.params.get("updateMask") or call.body.get("updateMask") or "")
        if self.mask_root:
            mask = re.sub(rf"(^|,)\s*{self.mask_root}\.", r"\1", mask)
        body = {key: value for key, value in changes.items() if key in self.settable}
        if verb in self.replaces and not mask:
            # What never changes need not be said again.
            paths = sorted((self.replaced or self.settable) - (self.immutable - set(body)))
        else:
            paths = parse_mask(mask, body=body, mutable=self.settable)
        for path in paths:
            top = path.partition(".")[0]
            if top in self.immutable and body.get(top) != resource.get(top):
                raise invalid_argument(f"The field '{top}' cannot be changed.", field=top)
        changed = apply_mask(resource, body, paths)
        self._require_fields(changed)
        return self._answer(call, name, self._stored(call, name, changed))

    def _require_fields(self, resource: Json) -> None:
        for name in self.required:
            if resource.get(name) in (None, "", [], {}):
                raise invalid_argument(f"Required field '{name}' is missing or empty.", field=name)

    def _check_guard(self, call: Call, name: str, given: str, resource: Json) -> None:
        if self.guard == "fingerprint" and given != resource[self.guard]:
            raise precondition_failed("Supplied fingerprint does not match current metadata fingerprint.")
        if self.guard == "etag" and given and given != resource[self.guard]:
            raise aborted(f"The etag {given} is not the current one of {name}; read it again.")

    def _stored(self, call: Call, name: str, resource: Json, *, checked: bool = False) -> Json:
        resource = resource if checked else self.complete(call, name, resource)
        now = clock.timestamp()
        for moment in self.times:
            if moment == "updateTime" or moment not in resource:
                resource[moment] = now
        if self.guard:
            resource[self.guard] = clock.new_etag().strip('"')
        self.put(call.context, name, resource)
        return resource

    def _answer(self, call: Call, name: str, resource: Json | None) -> Json:
        """What a change answers: the resource, nothing when it is gone, or an operation that ends with either."""
        view = {} if resource is None else self.view(call, name, resource)
        if not self.operation:
            return {} if str(call.method.response).endswith("Empty") else view
        kind = self.operation if view else "type.googleapis.com/google.protobuf.Empty"

        async def work() -> Json:
            return {"@type": kind, **view}

        parent = "/".join(name.split("/")[: 4 if "/locations/" in name else 2])
        told = self._told(call, name) if self.metadata else None
        return call.context.operations.start(
            operation_name(parent),
            work(),
            key=call.method.id,
            metadata=told,
            ended=lambda: None if told is None else {**told, "endTime": clock.timestamp()},
        )

    def _told(self, call: Call, name: str) -> Json:
        """What an operation tells of itself. Recorded: certificatemanagerdnsauthorization-minimal."""
        _, version, _ = self.message
        verb = call.method.id.rpartition(".")[2]
        return {
            "@type": self.metadata,
            "apiVersion": version,
            "createTime": clock.timestamp(),
            "target": name,
            "verb": "update" if verb == "patch" else verb,
        }
