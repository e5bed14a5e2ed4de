# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._differences import differences
from ansible_collections.org.djangogcp.plugins.module_utils._fields import (
    INT64,
    Change,
    Field,
    Kind,
    labels,
    number,
    reference,
)
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import decode, lay_over
from ansible_collections.org.djangogcp.tests.unit.plugins.module_utils.tables import CONTAINERS, ENV, PROBE

KEY = "projects/keys-1/locations/europe-west1/keyRings/ring/cryptoKeys/images"


FILES = Field(
    "files", kind=Kind.LIST, replace=True, fields=(Field("path"), reference("secret", wire="ref.secret"))
)


ALTERNATIVES = Field(
    "way",
    fields=(
        Field("gate", one_of=("gate", "doors")),
        Field("doors", kind=Kind.LIST, one_of=("gate", "doors"), fields=(Field("name"),)),
    ),
)


AT_LEAST = Field("size", codec=INT64, suffices=lambda have, wanted: have >= wanted)


def names(field, wanted, server):
    """The names of what differs when the server's JSON is `server`."""
    return [one.name for one in differences({field.name: wanted}, decode(server, [field]), [field])]


@pytest.mark.parametrize(
    ("field", "wanted", "server"),
    [
        (Field("a"), "x", {"a": "x"}),
        (Field("a"), "", {}),
        (Field("a"), False, {}),
        (Field("a"), 0, {}),
        (Field("a", default="ON"), "ON", {}),
        (Field("a", normalize=str.upper), "europe-west1", {"a": "EUROPE-WEST1"}),
        (Field("a", codec=INT64), 5, {"a": "5"}),
        (Field("a", kind=Kind.SET), ["x", "y"], {"a": ["y", "x"]}),
        (Field("a", kind=Kind.LIST), [], {}),
        (Field("a", kind=Kind.MAP), {}, {}),
        (Field("a", kind=Kind.MAP), {"k": 1}, {"a": {"k": "1"}}),
        (CONTAINERS, [{"image": "i"}], {"containers": [{"image": "i", "resources": {"cpu": "1"}}]}),
        (labels(), {"team": "shop"}, {"labels": {"team": "shop", "goog-managed-by": "cloudfunctions"}}),
        (labels(), {}, {"labels": {"goog-drz-cloudfunctions-id": "x"}}),
        (number("a"), 5, {"a": "5"}),
        (number("a", zero_counts=True), 0, {"a": "0"}),
        (ALTERNATIVES, {"doors": []}, {}),
        (ALTERNATIVES, {"doors": []}, {"way": {"gate": "north"}}),
        (reference("a"), "smtp", {"a": "projects/12/secrets/smtp"}),
        (reference("a"), "projects/shop/secrets/smtp", {"a": "projects/12/secrets/smtp"}),
        (reference("a"), f"//cloudkms.googleapis.com/{KEY}", {"a": KEY}),
        (
            FILES,
            [{"path": "s", "secret": "smtp"}],
            {"files": [{"path": "s", "ref": {"secret": "projects/12/secrets/smtp"}}]},
        ),
        (Field("a", change=Change.CREATE_ONLY), "x", {"a": "y"}),
        (Field("a", kind=Kind.SECRET), "x", {}),
    ],
)
def test_what_is_so_is_no_difference(field, wanted, server):
    assert names(field, wanted, server) == []


@pytest.mark.parametrize(
    ("field", "wanted", "server"),
    [
        (Field("a"), "x", {}),
        (Field("a"), "", {"a": "x"}),
        (Field("a"), False, {"a": True}),
        (Field("a", default=True), False, {}),
        (Field("a", zero_counts=True), False, {}),
        (Field("a", kind=Kind.SET), ["x"], {"a": ["x", "y"]}),
        (Field("a", kind=Kind.SET), ["x"], {}),
        (Field("a", kind=Kind.LIST), [], {"a": ["x"]}),
        (Field("a", kind=Kind.LIST), ["x", "y"], {"a": ["y", "x"]}),
        (Field("a", kind=Kind.MAP), {}, {"a": {"k": "v"}}),
        (Field("a", kind=Kind.MAP), {"k": "v"}, {"a": {"k": "v", "other": "v"}}),
        (labels(), {"team": "shop"}, {"labels": {"team": "shop", "google": "x"}}),
        (labels(), {"goog-x": "1"}, {"labels": {"goog-x": "2"}}),
        (reference("a"), "smtp", {"a": "projects/12/secrets/smtp-2"}),
        (reference("a"), "projects/other/secrets/smtp", {"a": "smtp"}),
        (reference("a"), "projects/other/secrets/smtp", {"a": "projects/shop/secrets/smtp"}),
        (reference("a"), "projects/13/secrets/smtp", {"a": "projects/12/secrets/smtp"}),
        (
            FILES,
            [{"path": "s", "secret": "smtp"}],
            {"files": [{"path": "s", "ref": {"secret": "projects/12/secrets/imap"}}]},
        ),
        (FILES, [{"path": "s", "secret": "smtp"}], {"files": [{"path": "t", "ref": {"secret": "smtp"}}]}),
        (CONTAINERS, [{"image": "i"}], {"containers": [{"image": "i"}, {"image": "sidecar"}]}),
        (CONTAINERS, [{"cpu": "2"}], {"containers": [{"image": "i", "resources": {"cpu": "1"}}]}),
    ],
)
def test_what_is_not_so_is_a_difference(field, wanted, server):
    assert names(field, wanted, server) == [field.name]


LABELS = Field("labels", kind=Kind.MAP, keeps=("ours",))


LIMITS = Field("limits", kind=Kind.MAP, keeps=("cpu", "memory"), normalize=lambda value: value)


@pytest.mark.parametrize(
    ("field", "server", "wanted", "differing", "after"),
    [
        # What is asked replaces its alternatives, also where the server has both.
        (
            PROBE,
            {"health": {"probe": {"period": 5, "http": {"path": "/", "port": 80}}}},
            {"tcp": {"port": 80}},
            ["probe.http", "probe.tcp"],
            {"health": {"probe": {"period": 5, "tcp": {"port": 80}}}},
        ),
        (
            PROBE,
            {"health": {"probe": {"tcp": {"port": 80}, "both": "x"}}},
            {"tcp": {"port": 80}},
            ["probe.both"],
            {"health": {"probe": {"tcp": {"port": 80}}}},
        ),
        # An alternative without anything in it is one.
        (PROBE, {"health": {"probe": {"both": "x"}}}, {"tcp": {}}, ["probe.tcp", "probe.both"], {"health": {"probe": {"tcp": {}}}}),
        (PROBE, {"health": {"probe": {"tcp": {"port": 80}}}}, {"tcp": {}}, [], {"health": {"probe": {"tcp": {"port": 80}}}}),
        # {} of any other dictionary removes it.
        (PROBE, {"health": {"probe": {"tcp": {}}, "x": 1}}, {}, ["probe"], {"health": {"x": 1}}),
        (PROBE, {"health": {"probe": {"period": 5}}}, {}, ["probe"], {"health": {}}),
        (PROBE, {"health": {}}, {}, [], {"health": {}}),
        (PROBE, {}, {}, [], {}),
        # A dictionary of nothing but None asks for nothing.
        (PROBE, {"health": {"probe": {"period": 5}}}, {"period": None, "tcp": {"port": None}}, [], None),
        (PROBE, {"health": {"probe": {"period": 5}}}, None, [], None),
        # Keys that somebody else adds stay, and are no difference.
        (LABELS, {"labels": {"a": "1", "ours": "x"}}, {"a": "1"}, [], {"labels": {"a": "1", "ours": "x"}}),
        (LABELS, {"labels": {"a": "1", "ours": "x"}}, {}, ["labels"], {"labels": {"ours": "x"}}),
        (LABELS, {"labels": {"ours": "x"}}, {}, [], {"labels": {"ours": "x"}}),
        (LABELS, {"labels": {"ours": "x"}}, {"ours": "y"}, ["labels"], {"labels": {"ours": "y"}}),
        (LIMITS, {"limits": {"cpu": "1", "memory": "1Gi", "gpu": "1"}}, {"cpu": "2"}, ["limits"], {"limits": {"cpu": "2", "memory": "1Gi"}}),
        (LIMITS, {}, {"cpu": "2"}, ["limits"], {"limits": {"cpu": "2"}}),
        # A number is the same as a string, and is sent as a number.
        (number("n"), {"n": 5}, "5", [], {"n": 5}),
        (number("n"), {"n": 5}, "6", ["n"], {"n": 6}),
        # What only grows and is more than what is asked.
        (AT_LEAST, {"size": "25"}, 10, [], {"size": "25"}),
        (AT_LEAST, {"size": "25"}, 30, ["size"], {"size": "30"}),
        (AT_LEAST, {}, 30, ["size"], {"size": "30"}),
    ],
)  # fmt: skip
def test_what_is_asked_no_more_goes_and_what_others_add_stays(field, server, wanted, differing, after):
    assert names(field, wanted, server) == differing
    merged = lay_over(server, {field.name: wanted}, [field])
    assert merged == (server if after is None else after)
    assert names(field, wanted, merged) == []


def test_a_nested_difference_names_its_option_and_its_wire_path():
    field = Field("backup", wire="settings.backup", fields=(Field("enabled"), Field("start_time")))
    server = {"settings": {"backup": {"enabled": True, "startTime": "03:00"}}}
    (found,) = differences(
        {"backup": {"enabled": True, "start_time": "04:00"}}, decode(server, [field]), [field]
    )
    assert (found.name, found.path, found.mask) == (
        "backup.start_time",
        "settings.backup.startTime",
        "settings.backup.startTime",
    )
    assert (found.before, found.after) == ("03:00", "04:00")


def test_an_item_that_is_whole_drops_what_the_server_has_beside_it():
    server = {"env": [{"name": "A", "value": "old"}, {"name": "B", "source": {"ref": "s"}}]}
    asked = {"env": [{"name": "B", "value": "b"}]}
    assert [one.name for one in differences(asked, decode(server, [ENV]), [ENV])] == ["env"]
    assert lay_over(server, asked, [ENV]) == {"env": [{"name": "B", "value": "b"}]}


def test_what_is_no_number_is_told_as_it_is():
    rows = (number("a"), Field("b", codec=INT64))
    assert decode({"a": "many", "b": "17"}, rows) == {"a": "many", "b": 17}
    assert [one.name for one in differences({"a": 3}, decode({"a": "many"}, rows), rows)] == ["a"]


def test_none_of_an_alternative_that_is_a_list_is_a_difference_where_there_are_some():
    told = {"way": {"doors": [{"name": "back"}]}}
    assert names(ALTERNATIVES, {"doors": []}, told) == ["way.doors"]
    assert names(ALTERNATIVES, {"doors": [{"name": "back"}]}, {"way": {"gate": "north"}}) == [
        "way.gate",
        "way.doors",
    ]
