"""Nothing that Google Cloud has told stops a module that tells of it, whatever is left out of it, new in it, or written as text."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._differences import differences
from ansible_collections.org.djangogcp.plugins.module_utils._run import (
    is_placeholder,
    is_serving,
    moved_traffic,
    newest_revision,
)
from ansible_collections.org.djangogcp.plugins.module_utils._services.secretmanager import versions_of
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import decode

from tests.recorded.told import FOLDER, MISSING, Told, conversations, shown_options, told

pytestmark = pytest.mark.skipif(not FOLDER, reason=MISSING)

LEFT_OUT = object()
#: What becomes of one value.
CHANGES: dict[str, Callable[[Any], Any]] = {
    "left out": lambda value: LEFT_OUT,
    "null": lambda value: None,
    "as text": lambda value: str(value) if isinstance(value, int | float) else value,
    "new": lambda value: "SOMETHING_NEW" if isinstance(value, str) else value,
}

#: Where a value is: keys, and positions in lists.
Path = tuple[str | int, ...]


def paths(wire: Any) -> Iterator[Path]:
    """Where the values are, those that hold others included. What makes a resource one stays."""
    for key, value in wire.items() if isinstance(wire, dict) else enumerate(wire):
        if isinstance(value, dict | list):
            yield from ((key, *rest) for rest in paths(value))
        if key not in ("name", "email") and not isinstance(key, int):
            yield (key,)


def places() -> dict[tuple[str, ...], tuple[Told, Path]]:
    """One resource, and the path of the value in it, for each place in which a kind of resource has one."""
    return {
        (one.kind, *(part for part in path if isinstance(part, str))): (one, path)
        for one in told()
        for path in paths(one.wire)
    }


def changed(wire: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    """A resource with one of its values changed."""
    result = copy.deepcopy(wire)
    holder = result
    for part in path[:-1]:
        holder = holder[part]
    value = change(holder.pop(path[-1]))
    if value is not LEFT_OUT:
        holder[path[-1]] = value
    return result


def tell(one: Told, wire: Any, options: Any) -> None:
    """All that info modules, the status and a second run read of a resource."""
    json.dumps(one.spec.show(one.ids, wire))
    differences(options, decode(wire, one.spec.fields), one.spec.fields)
    one.spec.pending(wire)
    one.spec.retry(wire, options)
    one.spec.guard(wire)
    if one.spec.mark is not None:
        one.spec.mark.read(decode(wire, one.spec.fields))
    if one.kind == "run_service":
        is_serving(wire), is_placeholder(wire), moved_traffic(wire), newest_revision(wire)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_nothing_that_is_told_stops_a_module(change: Callable[[Any], Any]) -> None:
    tried, stopped = Counter[str](), set()
    for one, path in places().values():
        options = shown_options(decode(one.wire, one.spec.fields), one.spec.fields)
        tried[one.kind] += 1
        try:
            tell(one, changed(one.wire, path, change), options)
        except Exception as error:
            stopped.add(f"{one.kind}, {path}: {error!r}")
    print(", ".join(f"{kind}: {number} values" for kind, number in sorted(tried.items())))
    assert stopped == set()
    assert tried


class Versions:
    """A client that lists the versions of a secret."""

    def __init__(self, versions: list[Any]) -> None:
        self._versions = versions

    def list(self, *address: Any, **options: Any) -> Iterator[Any]:
        return iter(self._versions)


def test_the_versions_of_secrets_are_told() -> None:
    told_versions = [
        exchange.response
        for one in conversations()
        for exchange in one.exchanges
        if "/versions/" in exchange.url and "secretmanager." in exchange.url and exchange.status == 200
        if "state" in exchange.response
    ]
    for version in told_versions:
        assert versions_of(Versions([version]), "p", "s") == [  # type: ignore[arg-type]
            {"version": "1", "state": version["state"], "create_time": version["createTime"]}
        ]
    if not told_versions:
        pytest.skip("no recorded conversation is about versions of secrets")
