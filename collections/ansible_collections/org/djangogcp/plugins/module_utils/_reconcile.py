# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""The reconcile engine: read, compare, plan, stop here in check mode, apply, wait, read again.

A resource is a `ResourceSpec`: a table, not code. Check mode, diff, idempotence, conflicts between parallel runs and
waiting come from here, once for all modules.
"""

from __future__ import annotations

import copy
import dataclasses
import typing as t
import urllib.parse
import uuid

from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client
from ansible_collections.org.djangogcp.plugins.module_utils._differences import Difference, differences
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError, ImmutableError
from ansible_collections.org.djangogcp.plugins.module_utils._fields import PLAIN, Change, Field, Kind
from ansible_collections.org.djangogcp.plugins.module_utils._marks import (
    ForeignError,
    Mark,
    MarkPlace,
    Ownership,
)
from ansible_collections.org.djangogcp.plugins.module_utils._operations import (
    Operations,
    Wait,
    no_operation,
    poll,
    while_busy,
)
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import (
    MASKED,
    Json,
    asked_only,
    beside,
    chosen,
    decode,
    get_path,
    lay_over,
    set_path,
)

Ids = t.Mapping[str, str]

# How often a change is planned anew because somebody else changed the resource between our read and our write.
_CONFLICTS = 6
# How long a resource that was just made may stay invisible to reads (IAM and Cloud Storage are eventually consistent).
_VISIBLE_SECONDS = 60.0


class Guard(t.NamedTuple):
    """What makes a write fail when the resource is not what was read any more.

    Attributes:
        params: additions to the query.
        body: additions to the body.
    """

    params: Json
    body: Json


def no_guard(current: Json) -> Guard:
    """For APIs that offer nothing."""
    return Guard({}, {})


def etag_in_body(current: Json) -> Guard:
    """``etag`` as a field of the resource (secretmanager, run, iam)."""
    return Guard({}, {"etag": current["etag"]} if current.get("etag") else {})


def metageneration(current: Json) -> Guard:
    """``ifMetagenerationMatch`` (storage)."""
    return Guard({"ifMetagenerationMatch": current.get("metageneration")}, {})


def settings_version(current: Json) -> Guard:
    """``settings.settingsVersion`` (sqladmin instances)."""
    return Guard({}, {"settings": {"settingsVersion": get_path(current, "settings.settingsVersion")}})


@dataclasses.dataclass(frozen=True)
class Plan:
    """How an existing resource becomes what is asked.

    Attributes:
        current: the wire shape that was read.
        merged: the wire shape with what is asked laid over it.
        changes: the differences, at least one.
        secrets: wire paths of secret fields that have to be written too.
        guard: what protects the write.
    """

    current: Json
    merged: Json
    changes: list[Difference]
    secrets: list[str]
    guard: Guard

    @property
    def paths(self) -> list[str]:
        """The wire paths to write, sorted, without those that another one covers."""
        paths = sorted({change.mask for change in self.changes} | set(self.secrets))
        return [path for path in paths if not any(path.startswith(f"{other}.") for other in paths)]


@dataclasses.dataclass(frozen=True)
class Request:
    """The HTTP request of a write. An empty `path` is the usual one: the resource's own, or its collection's to create."""

    method: str
    params: Json
    body: Json
    path: str = ""


def patch_with_mask(plan: Plan) -> Request:
    """PATCH with ``updateMask`` (AIP-134): the mask of what changed, the body with just that."""
    body = _merge(_pick(plan.merged, plan.paths), plan.guard.body)
    return Request("PATCH", {**plan.guard.params, "updateMask": ",".join(plan.paths)}, body)


def merge_patch(plan: Plan) -> Request:
    """PATCH that merges the body into the resource, where null removes (storage, sqladmin)."""
    body = _pick(plan.merged, plan.paths)
    for change in plan.changes:
        if change.field.kind is Kind.MAP and change.field.codec is PLAIN:
            removed = set(get_path(plan.current, change.path) or {}) - set(get_path(plan.merged, change.path))
            set_path(body, change.path, {**get_path(plan.merged, change.path), **dict.fromkeys(removed)})
        elif change.after == "":
            set_path(body, change.path, None)
    return Request("PATCH", plan.guard.params, _merge(body, plan.guard.body))


def put_whole(plan: Plan) -> Request:
    """PUT of the whole resource as it was read, with what is asked laid over it."""
    return Request("PUT", plan.guard.params, _merge(plan.merged, plan.guard.body))


@dataclasses.dataclass(frozen=True)
class ResourceSpec:
    """A kind of resource, as a table.

    Attributes:
        noun: what messages call it, for instance "secret".
        api: the API's base address with its version, without a slash at the end.
        path: the resource's path below `api`, with ids in braces: "projects/{project}/secrets/{name}".
        fields: the rows.
        permission: the permissions' prefix, for instance "secretmanager.secrets"; get, create, update and delete follow.
        collection: the path that a create is POSTed to; by default `path` without its last segment.
        id_param: the query parameter of a create that carries the name, "" for none.
        id_field: the body field of a create that carries the name, "" for none.
        collection_params: further query of a create or a list, with ids in braces.
        items: what the answer of a list calls the list.
        name_of: the name of a resource in such a list.
        defaults: the wire shape that a create starts from.
        create_body: turns the wire shape of a create into its request body, for APIs that wrap it.
        update: how a plan becomes a request.
        delete: the request that deletes, for APIs that do not DELETE the resource's own path.
        guard: what protects an update against a change between read and write.
        request_id: whether a write carries a ``requestId``, by which Google Cloud knows one that is sent again (compute).
        operations: how the API tells that a change takes time.
        pending: whether a resource that was read is still being changed by Google Cloud.
        usual: how long making one usually takes, "" if nobody knows.
        retry: what to ask for besides, of a resource (in wire shape) that Google Cloud could not make ready and of which so much is
            asked, so that it tries again; {} when it is ready. See `retried`.
        predicted: the wire fields that are known before a resource is made, from its ids and what is asked; check mode
            shows them.
        hint: what to do about an error of a verb (read, create, update, delete), "" to leave it to the status.
        way_out: what to do when an immutable field differs.
        mark: where the resource carries the mark of who made it; None for what cannot carry one.
        cure: what to do about one of them in particular, "" to leave it to `way_out`.
    """

    noun: str
    api: str
    path: str
    fields: tuple[Field, ...]
    permission: str
    collection: str = ""
    id_param: str = ""
    id_field: str = ""
    collection_params: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    items: str = "items"
    name_of: t.Callable[[Ids, Json], str] = lambda ids, wire: str(wire["name"]).rpartition("/")[2]
    defaults: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    create_body: t.Callable[[Ids, Json], Json] = lambda ids, wire: wire
    update: t.Callable[[Plan], Request] = patch_with_mask
    delete: t.Callable[[Ids], Request] = lambda ids: Request("DELETE", {}, {})
    guard: t.Callable[[Json], Guard] = etag_in_body
    request_id: bool = False
    operations: Operations = no_operation
    pending: t.Callable[[Json], bool] = lambda resource: False
    usual: str = ""
    retry: t.Callable[[Json, t.Mapping[str, t.Any]], Json] = lambda resource, asked: {}
    predicted: t.Callable[[Ids, Json], Json] = lambda ids, wire: {}
    hint: t.Callable[[ApiError, str], str] = lambda error, verb: ""
    way_out: str = ""
    mark: MarkPlace | None = None
    cure: t.Callable[[Ids, Difference], str] = lambda ids, change: ""

    def url(self, ids: Ids) -> str:
        """The resource's address."""
        return f"{self.api}/{self.path.format_map(_quoted(ids))}"

    def collection_url(self, ids: Ids) -> str:
        """The address that creates are POSTed to."""
        path = self.collection or self.path.rsplit("/", 1)[0]
        return f"{self.api}/{path.format_map(_quoted(ids))}"

    def collection_query(self, ids: Ids) -> Json:
        """The query of a create or a list."""
        return {key: value.format_map(ids) for key, value in self.collection_params.items()}

    def call(self, verb: str, ids: Ids) -> Call:
        """The words and the permission of read, create, update and delete."""
        method = "get" if verb == "read" else verb
        return Call(f"{verb} {self.noun} {ids['name']}", f"{self.permission}.{method}")

    def show(self, ids: Ids, resource: Json) -> Json:
        """The Ansible shape that a module returns: the ids and every row of the table."""
        return {**ids, **decode(resource, self.fields)}


#: What is asked of a resource, or a function that tells it from what is there.
Asked: t.TypeAlias = "t.Mapping[str, t.Any] | t.Callable[[Json | None], t.Mapping[str, t.Any]]"


@dataclasses.dataclass
class Outcome:
    """What happened to one resource, or would happen in check mode.

    Attributes:
        label: the resource in words, for instance "secret polls-secret-key".
        changed: whether something changed.
        resource: the Ansible shape afterwards; {} when it is absent.
        before: what was asked for, as it was.
        after: what was asked for, as it is.
        actions: verb phrases of what was done, for instance "create secret polls-secret-key".
        warnings: what a person should know: that something was left alone because somebody else made it.
        found: the wire shape as it was; None when it was absent.
        wire: the wire shape afterwards, predicted in check mode; None when it is absent.
    """

    label: str
    changed: bool
    resource: Json
    before: Json
    after: Json
    actions: list[str]
    warnings: list[str] = dataclasses.field(default_factory=list)
    found: Json | None = dataclasses.field(default=None, repr=False)
    wire: Json | None = dataclasses.field(default=None, repr=False)

    @property
    def diff(self) -> Json:
        """The diff in Ansible's format."""
        return {
            "before": self.before,
            "after": self.after,
            "before_header": f"{self.label} (before)",
            "after_header": f"{self.label} (after)",
        }


def read(client: Client, spec: ResourceSpec, ids: Ids, *, ahead: bool = False) -> Json | None:
    """The wire shape of a resource, None when it is absent. With `ahead`, one that was read ahead will do."""
    try:
        return client.find(spec.url(ids), spec.call("read", ids), ahead=ahead)
    except ApiError as error:
        raise _explained(spec, error, "read") from error


def reconcile(
    client: Client,
    spec: ResourceSpec,
    ids: Ids,
    asked: Asked,
    *,
    state: str = "present",
    check_mode: bool = False,
    wait: Wait | None = None,
    ownership: Ownership | None = None,
) -> Outcome:
    """Make one resource what is asked.

    Args:
        client: calls the API.
        spec: the kind of resource.
        ids: the values of the braces in the spec's paths; "name" is always among them.
        asked: the Ansible shape; None means not asked. A secret that is asked is written, because it cannot be compared.
            What depends on what is there is a function of it: of the wire shape that was read, None when it is absent.
        state: "present" or "absent".
        check_mode: plan only. The outcome carries what would be there.
        wait: whether and how long to wait; 600 s by default.
        ownership: for whom it is made. What somebody else has made is then refused, or used as it is, and never deleted; without
            it nobody is asked.

    Raises:
        ApiError, OperationError, WaitTimeoutError, ImmutableError: see `_errors`.
        ForeignError: somebody else has made it.
    """
    return _Run(client, spec, ids, asked, check_mode, wait or Wait(), ownership).to(state)


def retried(spec: ResourceSpec, asked: t.Mapping[str, t.Any], current: Json | None) -> t.Mapping[str, t.Any]:
    """What to ask for so that Google Cloud tries again what it could not make ready.

    It looks only at what changes: what was fixed outside of the resource (a grant, a database) would never be tried again. What
    changes anyway needs no more.

    Args:
        spec: the kind of resource.
        asked: the Ansible shape.
        current: the wire shape as read; None when it is absent.
    """
    again = {} if current is None else spec.retry(current, asked)
    if not again:
        return asked
    changes = differences(asked, decode(current or {}, spec.fields), spec.fields)
    if any(change.name.partition(".")[0] in again for change in changes):
        return asked
    return _merge(dict(asked), again)


def label_of(spec: ResourceSpec, ids: Ids) -> str:
    """A resource in words, for instance "secret polls-secret-key"."""
    return f"{spec.noun} {ids['name']}"


def may_delete(spec: ResourceSpec, current: Json, ownership: Ownership | None) -> bool:
    """Whether a resource, as read, is the site's own, or one's that asks for the same."""
    return ownership is None or ownership.may_change(owner_of(spec, decode(current, spec.fields), ownership))


def owner_of(spec: ResourceSpec, shape: Json, ownership: Ownership) -> Mark | None:
    """Who has made a resource, in Ansible shape; None when it carries no mark."""
    if ownership.owner is not None:
        return ownership.owner(shape)
    if spec.mark is None:
        raise TypeError(f"a {spec.noun} carries no mark: say who owns it")
    return spec.mark.read(shape)


def owned(
    spec: ResourceSpec,
    ids: Ids,
    asked: t.Mapping[str, t.Any],
    current: Json | None,
    ownership: Ownership,
) -> t.Mapping[str, t.Any]:
    """What is asked of a resource by whose it is: with the mark, or of what is adopted only what a person has set.

    Args:
        spec: the kind of resource.
        ids: as for `reconcile`.
        asked: the Ansible shape.
        current: the wire shape as read; None when it is absent.
        ownership: for whom it is.

    Raises:
        ForeignError: somebody else has made it, and it is neither adopted nor shared as it is.
    """
    actual = decode(current or {}, spec.fields)
    owner = None if current is None else owner_of(spec, actual, ownership)
    if current is None or ownership.may_change(owner):
        return asked if spec.mark is None else spec.mark.write(asked, ownership.mark_for(owner), actual)
    set_by_person = asked if ownership.explicit is None else chosen(asked, ownership.explicit)
    wanted = beside(set_by_person, actual, spec.fields)
    changes = differences(wanted, actual, spec.fields)
    label = label_of(spec, ids)
    if ownership.adopts(label, owner):
        return wanted
    if ownership.may_use(owner) and not changes:
        return {}
    raise ForeignError(
        label, owner, ownership, differences(asked, actual, spec.fields) if owner is None else changes
    )


class _Run:
    def __init__(
        self,
        client: Client,
        spec: ResourceSpec,
        ids: Ids,
        asked: Asked,
        check_mode: bool,
        wait: Wait,
        ownership: Ownership | None,
    ) -> None:
        self.client = client
        self.spec = spec
        self.ids = ids
        self.asks = asked if callable(asked) else lambda current: asked
        self.asked: t.Mapping[str, t.Any] = {}
        self.check_mode = check_mode
        self.wait = wait
        self.deadline = Deadline(wait.timeout, client.clock)
        self.ownership = ownership
        self.label = label_of(spec, ids)

    def to(self, state: str) -> Outcome:
        """Plan and apply; when another writer came between, read and plan again."""
        current: Json | None = None
        is_known = False
        conflicts = 0

        def attempt() -> Outcome:
            nonlocal current, is_known
            if not is_known:
                # Who loses a race has written, which empties what was read ahead.
                current = read(self.client, self.spec, self.ids, ahead=True)
                is_known = True
            return self._absent(current) if state == "absent" else self._present(current)

        def passes(error: ApiError) -> bool:
            nonlocal is_known, conflicts
            lost_race = error.is_stale or (error.already_exists and current is None and self._exists_now())
            conflicts += lost_race
            # Many sites may wait for one busy instance, and share the quota of its requests. What changed meanwhile is a lost race.
            is_known = is_known and error.is_busy
            return error.is_busy or (lost_race and conflicts < _CONFLICTS)

        return while_busy(attempt, self.deadline, passes)

    def _present(self, current: Json | None) -> Outcome:
        if current is not None and self.spec.pending(current) and self.wait.enabled and not self.check_mode:
            current = self._settled()
        self.asked = self.asks(current)
        if self.ownership is not None:
            self.asked = owned(self.spec, self.ids, self.asked, current, self.ownership)
        if current is None:
            return self._create()
        actual = decode(current, self.spec.fields)
        changes = differences(self.asked, actual, self.spec.fields)
        again = retried(self.spec, self.asked, current)
        if again != self.asked:
            self.asked, changes = again, differences(again, actual, self.spec.fields)
        self._refuse_immutable(changes)
        secrets = [
            field
            for field in self.spec.fields
            if field.kind is Kind.SECRET and self.asked.get(field.name) is not None
        ]
        if not changes and not secrets:
            return self._outcome(current, current, [])
        merged = lay_over(current, self._writable(), self.spec.fields)
        if not self.check_mode:
            self._update(
                Plan(current, merged, changes, [field.path for field in secrets], self.spec.guard(current))
            )
        after = merged if self.check_mode or not self.wait.enabled else self._settled()
        return self._outcome(current, after, ["update"], rewritten=[field.name for field in secrets])

    def _absent(self, current: Json | None) -> Outcome:
        if current is None:
            return Outcome(self.label, False, {}, {}, {}, [])
        if not may_delete(self.spec, current, self.ownership):
            warning = f"The {self.label} was left alone: it is not this site's own."
            return Outcome(self.label, False, {}, {}, {}, [], warnings=[warning], found=current)
        if not self.check_mode:
            self._write("delete", self.spec.delete(self.ids))
        before = {"state": "present", **decode(current, self.spec.fields)}
        return Outcome(
            self.label, True, {}, before, {"state": "absent"}, [f"delete {self.label}"], found=current
        )

    def _create(self) -> Outcome:
        wire = lay_over(self.spec.defaults, self.asked, self.spec.fields)
        if self.spec.id_field:
            wire[self.spec.id_field] = self.ids["name"]
        if not self.check_mode:
            params = self.spec.collection_query(self.ids)
            if self.spec.id_param:
                params[self.spec.id_param] = self.ids["name"]
            body = self.spec.create_body(self.ids, wire)
            self._write("create", Request("POST", params, body), url=self.spec.collection_url(self.ids))
        predicted = self.check_mode or not self.wait.enabled
        after = _merge(wire, self.spec.predicted(self.ids, wire)) if predicted else self._seen()
        return self._outcome({}, after, ["create"])

    def _update(self, plan: Plan) -> None:
        self._write("update", self.spec.update(plan))

    def _write(self, verb: str, request: Request, url: str = "") -> None:
        call = self.spec.call(verb, self.ids)
        address = f"{self.spec.api}/{request.path}" if request.path else url or self.spec.url(self.ids)
        body = None if request.method == "DELETE" else request.body
        params = (
            {**request.params, "requestId": str(uuid.uuid4())} if self.spec.request_id else request.params
        )
        try:
            # Repeating a create is safe: its name is ours, and a 409 is read again.
            answer = self.client.request(
                request.method, address, call, params=params, body=body, repeatable=True
            )
        except ApiError as error:
            if verb == "delete" and error.status == 404:
                return
            raise _explained(self.spec, error, verb) from error
        if self.wait.enabled:
            self.spec.operations(self.client, self.spec.api, answer, self.deadline, call)

    def _seen(self) -> Json:
        """Read what was just created until it can be seen and Google Cloud has finished changing it."""
        seconds = min(_VISIBLE_SECONDS, max(1.0, self.deadline.remaining))
        first = poll(
            self._read,
            lambda last: last is not None,
            Deadline(seconds, self.client.clock),
            doing=f"see {self.label} after it was created",
        )
        return first if first is not None and not self.spec.pending(first) else self._settled()

    def _settled(self) -> Json:
        """Read until Google Cloud has finished changing the resource."""
        last = poll(
            self._read,
            lambda last: last is None or not self.spec.pending(last),
            self.deadline,
            doing=f"wait for {self.label}",
            state=lambda last: str((last or {}).get("state", "")),
            usual=self.spec.usual,
        )
        # Somebody deleted it while we were waiting.
        return last if last is not None else {}

    def _read(self) -> Json | None:
        return read(self.client, self.spec, self.ids)

    def _exists_now(self) -> bool:
        return self._read() is not None

    def _writable(self) -> Json:
        fixed = {field.name for field in self.spec.fields if field.change is not Change.MUTABLE}
        return {name: value for name, value in self.asked.items() if name not in fixed}

    def _refuse_immutable(self, changes: list[Difference]) -> None:
        fixed = [change for change in changes if change.field.change is Change.IMMUTABLE]
        if not fixed:
            return
        what = ", ".join(f"{change.name} from {change.before!r} to {change.after!r}" for change in fixed)
        cures = [self.spec.cure(self.ids, change) for change in fixed]
        way_out = " ".join(filter(None, cures)) if all(cures) else self.spec.way_out
        cannot = "an update does not change" if all(cures) else "Google Cloud cannot change"
        way_out = (
            way_out or f"Ask for what is there, or delete the {self.spec.noun} and run again to make it anew."
        )
        raise ImmutableError(f"Failed to update {self.label}: {cannot} {what}. {way_out}")

    def _outcome(
        self, before: Json, after: Json, verbs: list[str], rewritten: t.Collection[str] = ()
    ) -> Outcome:
        fields = self.spec.fields
        old = asked_only(decode(before, fields), self.asked, fields) if before else {"state": "absent"}
        new = asked_only(decode(after, fields), self.asked, fields)
        if not before:
            new["state"] = "present"
        for name in rewritten:
            new[name] = f"{MASKED} (new)"
        return Outcome(
            self.label,
            bool(verbs),
            self.spec.show(self.ids, after),
            old,
            new,
            [f"{verb} {self.label}" for verb in verbs],
            found=before or None,
            wire=after,
        )


def _quoted(ids: Ids) -> dict[str, str]:
    return {name: urllib.parse.quote(value, safe="@:") for name, value in ids.items()}


def _explained(spec: ResourceSpec, error: ApiError, verb: str) -> ApiError:
    hint = spec.hint(error, verb)
    return error.with_hint(hint) if hint else error


def _pick(resource: Json, paths: t.Iterable[str]) -> Json:
    """The part of a resource at some paths."""
    result: Json = {}
    for path in paths:
        set_path(result, path, copy.deepcopy(get_path(resource, path)))
    return result


def _merge(left: Json, right: Json) -> Json:
    """Two wire shapes in one; the right one wins."""
    result = copy.deepcopy(left)
    for key, value in right.items():
        both = isinstance(result.get(key), dict) and isinstance(value, dict)
        result[key] = _merge(result[key], value) if both else value
    return result
