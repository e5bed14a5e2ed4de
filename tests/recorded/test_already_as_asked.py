"""Each module's idea of "already as asked", tried on what Google Cloud really said.

What was asked of it and what it told afterwards are one: a second run of the module changes nothing. With one value asked otherwise, the
module finds that one and sends no other.
"""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._differences import differences
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ImmutableError
from ansible_collections.org.djangogcp.plugins.module_utils._fields import Change, Field, Kind
from ansible_collections.org.djangogcp.plugins.module_utils._operations import Wait
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import (
    ResourceSpec,
    merge_patch,
    reconcile,
)
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Clock
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import (
    decode,
    get_path,
    remove_path,
    set_path,
)
from ansible_collections.org.djangogcp.plugins.module_utils._table_problems import table_problems

from tests.recorded.told import (
    FOLDER,
    MISSING,
    Asked,
    Json,
    Told,
    asked,
    has_row,
    leaves,
    shown_options,
    told,
)

pytestmark = pytest.mark.skipif(not FOLDER, reason=MISSING)

#: By kind the share of creates and updates, in percent, after which the resource was looked at.
AT_LEAST_SEEN = {"sql_user": 50.0}
#: By kind the share, in percent, of what they ask that an option of the module can ask.
AT_LEAST_ASKED = {
    "artifact_repository": 55.0,
    "bucket": 60.0,
    "run_job": 90.0,
    "run_service": 99.0,
    "secret": 50.0,
    "service_account": 90.0,
    "sql_database": 40.0,
    "sql_instance": 60.0,
    "sql_user": 60.0,
}
#: What was not told as it was asked for no reason of Google Cloud's (docs/decisions/0033): a conversation, the method, and the option.
RECORDERS_OWN = {
    # A PATCH that leaves what it replaces.
    ("run/runjob--runjob-labels", "PATCH", "labels"),
    ("run/runjob--runjob-usebinauthz", "PATCH", "binary_authorization.use_default"),
    # An update of a character set that leaves it, while the collation is another one's.
    ("sql/sqldatabase--sqldatabasebasic", "PUT", "charset"),
    # A list in place of which the recorder has put an empty one.
    (
        "sql/sqlinstance--sqlinstance-authorizednetworks-direct",
        "POST",
        "ip_configuration.authorized_networks",
    ),
    ("sql/sqlinstance--sqlinstance-authorizednetworks-direct", "PUT", "ip_configuration.authorized_networks"),
}
#: What Google Cloud really makes though nobody asks for it: an instance of the edition ENTERPRISE_PLUS has backups.
GOOGLES_CHOICE = {"sql_instance.backup_configuration"}
#: What Google Cloud takes and this collection does not: it makes PostgreSQL and MySQL.
REFUSED = ("database_version is 'SQLSERVER_",)


class Google:
    """Tells one resource, and takes down what is sent."""

    clock = Clock()

    def __init__(self, wire: Json) -> None:
        self._wire = wire
        self.sent: list[tuple[Json, Any]] = []

    def find(self, url: str, call: Any, **options: Any) -> Json:
        return copy.deepcopy(self._wire)

    def request(
        self, method: str, url: str, call: Any, *, params: Any = None, body: Any = None, **options: Any
    ) -> Json:
        self.sent.append((params or {}, body))
        return {}


def run(one: Told, options: Json) -> tuple[bool, Google]:
    """Whether a module that is asked for this changes the resource, and what it sends."""
    google = Google(one.wire)
    outcome = reconcile(google, one.spec, one.ids, options, wait=Wait(enabled=False))  # type: ignore[arg-type]
    return outcome.changed, google


def seen() -> list[tuple[Asked, Told]]:
    return [(one, one.told) for one in asked() if one.told is not None]


def as_recorded(one: Asked, options: Json) -> Json:
    """What is asked, without what the recorder has put another thing in the place of."""
    options = copy.deepcopy(options)
    for conversation, method, name in RECORDERS_OWN:
        if (conversation, method) == (one.conversation, one.method):
            holder = name.rpartition(".")[0]
            remove_path(options, name)
            if holder and get_path(options, holder) == {}:
                remove_path(options, holder)
    return options


def test_a_second_run_changes_nothing() -> None:
    changed = {}
    for one, after in seen():
        options = as_recorded(one, one.options)
        found = differences(options, decode(after.wire, after.spec.fields), after.spec.fields)
        lines = [f"{change.name}: {change.before!r} -> {change.after!r}" for change in found]
        if lines or run(after, options)[0]:
            changed[f"{one.kind}, {one.method} in {one.conversation}"] = lines
    assert changed == {}


def test_what_a_module_tells_asks_for_nothing_else() -> None:
    """What is told of a resource (by an info module, too) can be asked for, and is there."""
    changed, refused = set(), set()
    for one in told():
        shape = decode(one.wire, one.spec.fields)
        options = shown_options(shape, one.spec.fields)
        changed |= {f"{one.kind}.{change.name}" for change in differences(options, shape, one.spec.fields)}
        refused |= {
            problem
            for problem in table_problems(options, one.spec.fields, "")
            if not problem.startswith(REFUSED)
        }
        refused |= {f"{one.kind}.{problem}" for problem in no_choices(options, one.spec.fields)}
        assert not one.spec.pending(one.wire), f"{one.conversation} waits for {one.ids['name']}"
        assert one.spec.retry(one.wire, options) == {}, f"{one.conversation} tries {one.ids['name']} again"
    assert (changed, refused) == (set(), set())


def test_what_google_took_is_no_wrong_option() -> None:
    refused = set()
    for one in asked():
        found = [*table_problems(one.options, one.spec.fields, ""), *no_choices(one.options, one.spec.fields)]
        refused |= {problem for problem in found if not problem.startswith(REFUSED)}
    assert refused == set()


def test_what_is_asked_otherwise_is_found_and_nothing_else_is_sent() -> None:
    wrong, tried = [], Counter[str]()
    for one, after in seen():
        options = as_recorded(one, one.options)
        for name, otherwise in alterations(options, one.spec.fields):
            tried[one.kind] += 1
            problem = wrongly_changed(after, name, otherwise)
            if problem:
                wrong.append(f"{one.kind} in {one.conversation}, {name}: {problem}")
    print("\n".join(f"{kind}: {number} values asked otherwise" for kind, number in sorted(tried.items())))
    assert wrong == []
    assert set(tried) == {one.kind for one, _after in seen()}


def test_how_much_of_what_was_recorded_is_tried() -> None:
    total, looked_at = Counter(one.kind for one in asked()), Counter(one.kind for one, _after in seen())
    answers, said, known = Counter(one.kind for one in told()), Counter[str](), Counter[str]()
    without: dict[str, Counter[str]] = defaultdict(Counter)
    for one in asked():
        for path in leaves(one.wire):
            said[one.kind] += 1
            known[one.kind] += has_row(path, one.spec.fields)
            without[one.kind][path] += not has_row(path, one.spec.fields)
    seen_share = {kind: 100 * looked_at[kind] / total[kind] for kind in total}
    asked_share = {kind: 100 * known[kind] / said[kind] for kind in total}
    for kind in sorted(total):
        print(
            f"{kind}: {looked_at[kind]} of {total[kind]} creates and updates tried, {answers[kind]} answers read; "
            f"{asked_share[kind]:.0f} % of what is asked has a row, not:",
            ", ".join(sorted(+without[kind])) or "nothing",
        )
    assert total, "no recorded conversation is about a kind of resource that the collection has a table of"
    assert {kind: share for kind, share in seen_share.items() if share < AT_LEAST_SEEN.get(kind, 100.0)} == {}
    assert {kind: share for kind, share in asked_share.items() if share < AT_LEAST_ASKED.get(kind, 0.0)} == {}


def wrongly_changed(after: Told, name: str, options: Json) -> str:
    """What is wrong with the change of one option, "" when nothing is."""
    try:
        changed, google = run(after, options)
    except ImmutableError as error:
        return "" if f" {name} from " in f"{error}" else f"refused: {error}"
    if not changed:
        return "no difference is found"
    if len(google.sent) != 1:
        return f"{len(google.sent)} requests are sent"
    before, now = (
        decode(wire, after.spec.fields)
        for wire in (after.wire, sent_to(after.spec, after.wire, google.sent[0]))
    )
    others = [
        one.name
        for one in differences(shown_options(before, after.spec.fields), now, after.spec.fields)
        if not (one.name == name or one.name.startswith(f"{name}.") or name.startswith(f"{one.name}."))
    ]
    if others:
        return f"it changes {', '.join(others)}, too"
    left = differences(options, now, after.spec.fields)
    return f"it leaves {', '.join(one.name for one in left)}" if left else ""


def sent_to(spec: ResourceSpec, wire: Json, request: tuple[Json, Any]) -> Json:
    """A resource after a request of the engine, as Google documents the method."""
    params, body = request
    wire = copy.deepcopy(wire)
    mask = params.get("updateMask") or body.get("updateMask")
    body = body.get("serviceAccount", body)
    if mask:
        for path in mask.split(","):
            set_path(wire, path, get_path(body, path))
        return wire
    if spec.update is merge_patch:
        return merged(wire, body)
    # Users are changed by their query, too.
    return {**wire, **body, **{key: value for key, value in params.items() if key == "databaseRoles"}}


def merged(wire: Json, patch: Json) -> Json:
    """JSON merge patch (RFC 7396)."""
    result = dict(wire)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def no_choices(options: Json, fields: tuple[Field, ...]) -> Iterator[str]:
    """The values that Ansible would refuse."""
    for row in fields:
        value = options.get(row.name)
        if value is None:
            continue
        for item in value if isinstance(value, list) else [value]:
            if row.fields:
                yield from (f"{row.name}.{one}" for one in no_choices(item, row.fields))
            elif row.choices and item not in row.choices:
                yield f"{row.name} is {item!r}"


def alterations(options: Json, fields: tuple[Field, ...]) -> Iterator[tuple[str, Json]]:
    """What is asked, each time with one value another, and the name of the option that is."""
    for row in fields:
        if row.name in options and row.change is not Change.CREATE_ONLY:
            for name, value in altered(options[row.name], row):
                yield name, {**options, row.name: value}


def altered(value: Any, row: Field) -> Iterator[tuple[str, Any]]:
    """Other values of one option."""
    if row.fields and row.kind is Kind.VALUE:
        for name, other in alterations(value, row.fields):
            yield f"{row.name}.{name}", other
    elif row.fields:
        for position, item in enumerate(value):
            for _name, other in alterations(item, row.fields):
                yield row.name, [*value[:position], other, *value[position + 1 :]]
        # Where a list has a default, none of its items asks for that.
        if value[1:] or (value and row.default is None):
            yield row.name, value[1:]
    elif row.kind is Kind.MAP:
        yield row.name, {**value, "another": "1"}
        for key in value:
            yield row.name, {**value, key: f"{value[key]}1"}
            if not row.keeps_key(key):
                yield row.name, {name: one for name, one in value.items() if name != key}
    elif isinstance(value, list):
        yield row.name, [*value, "another"]
    else:
        yield from ((row.name, other) for other in other_scalars(value, row))


def other_scalars(value: Any, row: Field) -> list[Any]:
    """Another value of the same kind, none where there is only one."""
    if row.choices:
        return [one for one in row.choices if one != value][:1]
    if isinstance(value, bool):
        return [not value]
    if row.type == "int":
        return [int(value) + 1]
    if isinstance(value, int | float):
        return [value / 2]
    # A duration stays one.
    return [f"1{value}" if value[:1].isdigit() else f"{value}x"]


def empty_options(options: Json, shape: Json, fields: tuple[Field, ...]) -> Iterator[tuple[str, Json]]:
    """What asks for nothing ({} and []), for each option that was not asked for."""
    for row in fields:
        if not row.is_option or row.kind is Kind.SECRET or row.change is not Change.MUTABLE:
            continue
        wanted, have = options.get(row.name), shape.get(row.name)
        if wanted is None and (row.fields or row.is_list or row.kind is Kind.MAP):
            yield row.name, {row.name: [] if row.is_list else {}}
        if row.fields and row.kind is Kind.VALUE:
            for name, inner in empty_options(wanted or {}, have or {}, row.fields):
                yield f"{row.name}.{name}", {row.name: inner}


def test_what_google_fills_in_is_nothing() -> None:
    """Asking that there be none of what nobody asked for is no change."""
    filled, tried = set(), Counter[str]()
    for one, after in seen():
        shape = decode(after.wire, after.spec.fields)
        if one.method != "POST":
            continue
        for name, options in empty_options(as_recorded(one, one.options), shape, one.spec.fields):
            tried[one.kind] += 1
            filled |= {f"{one.kind}.{name}" for _change in differences(options, shape, one.spec.fields)}
    assert filled <= GOOGLES_CHOICE
    assert tried
