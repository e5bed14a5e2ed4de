# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

"""What holds for every table, whatever is asked and whatever is there: what was sent is what was asked."""

import random

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._differences import differences
from ansible_collections.org.djangogcp.plugins.module_utils._fields import NUMBER, Change, Kind
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import ResourceSpec
from ansible_collections.org.djangogcp.plugins.module_utils._services import (
    artifactregistry,
    compute,
    iam,
    resources,
    run,
    secretmanager,
    sqladmin,
    storage,
)
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import asked_only, decode, lay_over
from ansible_collections.org.djangogcp.plugins.module_utils._table_problems import table_problems

#: Other ways to write what another table describes.
VARIANTS = ("SERVICE_WITH_NEW_TEMPLATE", "SHARED_USER")
SPECS = [
    spec
    for service in (artifactregistry, compute, iam, run, secretmanager, sqladmin, storage)
    for name, spec in vars(service).items()
    if isinstance(spec, ResourceSpec) and name not in VARIANTS
]
WORDS = ("a", "B", "c-1", "1000m", "1", "2Gi", "7s")
VERSIONS = ("POSTGRES_9_6", "POSTGRES_17", "MYSQL_8_0", "SQLSERVER_2022_EXPRESS", "odd")


class Shapes:
    """Asks for anything that a table has, {} and alternatives included."""

    def __init__(self, seed):
        self._draw = random.Random(seed)

    def of(self, fields):
        shape = {row.name: self._value(row) for row in fields if row.is_option and self._draw.random() < 0.85}
        # Of alternatives only one may be chosen; the others are not asked for.
        for alternatives in dict.fromkeys(row.one_of for row in fields if row.one_of):
            chosen = self._draw.choice(alternatives)
            shape = {
                name: value for name, value in shape.items() if name == chosen or name not in alternatives
            }
        return shape

    def _value(self, row):
        if self._draw.random() < 0.05:
            return None
        if row.fields and row.kind is Kind.VALUE:
            return {} if self._draw.random() < 0.1 else self.of(row.fields)
        if row.fields:
            items = [self.of(row.fields) for dummy in range(self._draw.randrange(3))]
            names = self._draw.sample(WORDS, len(items))
            return [
                {**item, row.key: name} if row.key else item for item, name in zip(items, names, strict=True)
            ]
        if row.kind is Kind.MAP:
            return {
                key: self._draw.choice(WORDS) for key in ("cpu", "memory", "x") if self._draw.random() < 0.5
            }
        if row.kind in (Kind.LIST, Kind.SET):
            return self._draw.sample(WORDS, self._draw.randrange(3))
        return self._scalar(row)

    def _scalar(self, row):
        if row.name == "database_version":
            return self._draw.choice(VERSIONS)
        if row.codec is NUMBER:
            return self._draw.choice([0, 1, 80, "1", "80"])
        if row.choices:
            return self._draw.choice(row.choices)
        return self._draw.choice(
            {"bool": (True, False), "int": (0, 7, 50), "float": (0.0, 0.1, 0.9), "str": ("", *WORDS)}[
                row.type
            ]
        )


def alternatives(shape, fields):
    """The sets of alternatives that are there in a resource in Ansible shape, with all that is below it."""
    found = []
    for row in fields:
        value = shape.get(row.name)
        if row.one_of and value not in (None, "", []):
            found.append(
                [
                    other.name
                    for other in fields
                    if other.name in row.one_of and shape.get(other.name) not in (None, "", [])
                ]
            )
        if row.fields and value:
            for item in value if isinstance(value, list) else [value]:
                found += alternatives(item, row.fields)
    return found


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("spec", SPECS, ids=[spec.noun.replace(" ", "-") for spec in SPECS])
def test_what_was_laid_over_is_what_was_asked(spec, seed):
    shapes = Shapes(seed)
    server = lay_over({}, shapes.of(spec.fields), spec.fields)
    asked = shapes.of(spec.fields)
    merged = lay_over(server, asked, spec.fields)
    shape = decode(merged, spec.fields)
    fixed = {row.name for row in spec.fields if row.change is Change.CREATE_ONLY}
    assert differences(asked, shape, spec.fields) == []
    assert lay_over(merged, asked, spec.fields) == merged
    assert all(len(chosen) == 1 for chosen in alternatives(shape, spec.fields))
    # The two sides of a diff are there, and nothing that was asked is missing on the second.
    assert set(asked_only(shape, asked, spec.fields)) >= {
        row.name for row in spec.fields if row.is_asked(asked.get(row.name)) and row.name not in fixed
    }


@pytest.mark.parametrize("spec", SPECS, ids=[spec.noun.replace(" ", "-") for spec in SPECS])
def test_alternatives_and_kept_keys_are_of_the_right_rows(spec):
    def check(fields):
        names = {row.name for row in fields}
        for row in fields:
            assert not row.one_of or row.name in row.one_of
            assert set(row.one_of) <= names
            assert not row.keeps or row.kind is Kind.MAP
            check(row.fields)

    check(spec.fields)


def test_two_alternatives_of_a_container_are_refused_before_anything_is_sent():
    template = next(row for row in run.SERVICE.fields if row.name == "template")
    probe = {"http_get": {"path": "/"}, "tcp_socket": {"port": 8080}}
    assert table_problems({"containers": [{"startup_probe": probe}]}, template.fields, "template") == [
        "template.containers[0].startup_probe.http_get and template.containers[0].startup_probe.tcp_socket exclude one another: "
        "expected one of them."
    ]


@pytest.mark.parametrize("kind", sorted(set(resources.SPECS) - {"sql_user"}))
def test_what_somebody_else_made_is_adopted_by_the_name_that_messages_give_it(kind: str) -> None:
    assert rules.ADOPTED.test(f"{resources.SPECS[kind].noun} shop-1")
