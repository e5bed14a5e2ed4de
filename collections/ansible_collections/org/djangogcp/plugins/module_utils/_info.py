# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What a module that tells of resources is: a table, and the options that say where they are."""

from __future__ import annotations

import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client, Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import ApiError
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task, for_each, run_module
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import Ids, ResourceSpec, read
from ansible_collections.org.djangogcp.plugins.module_utils._rules import Rule

Found = t.TypeVar("Found")

#: Documented in `doc_fragments/_info.py`.
INFO_ARGS: dict[str, dict[str, t.Any]] = {"names": {"type": "list", "elements": "str"}}


def read_many(
    client: Client,
    spec: ResourceSpec,
    place: Ids,
    names: list[str] | None,
    holds_none: t.Callable[[ApiError], bool] = lambda error: error.is_disabled,
) -> list[tuple[Ids, Json]]:
    """The ids and the wire shapes of resources: of those with some names that are there, or of all.

    Args:
        client: calls the API.
        spec: the kind of resource.
        place: the values of the braces in the spec's paths but "name".
        names: the names; None for all that there are.
        holds_none: whether a refusal means that there are none, as of an API that is not enabled.

    Raises:
        ApiError: the API refuses for another reason.
    """

    def unless_none(look: t.Callable[[], Found], none: Found) -> Found:
        try:
            return look()
        except ApiError as error:
            if not holds_none(error):
                raise
            return none

    if names is not None:
        ids = [{**place, "name": name} for name in dict.fromkeys(names)]
        found = for_each(ids, lambda one: unless_none(lambda: read(client, spec, one), None))
        return [(one, wire) for one, wire in zip(ids, found, strict=True) if wire is not None]
    call = Call(f"list every {spec.noun} of project {place['project']}", f"{spec.permission}.list")
    url, params = spec.collection_url(place), spec.collection_query(place)
    nothing: list[Json] = []
    listed = unless_none(lambda: list(client.list(url, call, items=spec.items, params=params)), nothing)
    return [({**place, "name": spec.name_of(place, wire)}, wire) for wire in listed]


def run_info_module(
    argument_spec: t.Mapping[str, t.Mapping[str, t.Any]],
    spec: ResourceSpec,
    key: str,
    *,
    rule: Rule,
    place_rules: t.Mapping[str, Rule] | None = None,
    holds_none: t.Callable[[ApiError], bool] = lambda error: error.is_disabled,
    beside: t.Callable[[Task, Ids], Json] = lambda task, ids: {},
) -> None:
    """Run a module that tells of the resources of one kind.

    Args:
        argument_spec: `INFO_ARGS`, with what says where the resources are, for instance a location, which is required.
        spec: the kind of resource.
        key: what the result calls the list.
        rule: what Google accepts as a name.
        place_rules: what it accepts as the other options.
        holds_none: as for `read_many`.
        beside: what else is told of a resource than the rows of the table.
    """

    def work(task: Task) -> Json:
        where = [name for name, option in argument_spec.items() if option.get("required")]
        place = {name: task.params[name] for name in ("project", *where)}
        found = read_many(task.client, spec, place, task.params["names"], holds_none)
        shown = for_each(found, lambda one: {**spec.show(*one), **beside(task, one[0])})
        return {"changed": False, key: shown}

    run_module(argument_spec, work, rules={"names": rule, **(place_rules or {})}, only_reads=True)
