# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.org.djangogcp.plugins.module_utils._fields import (
    Change,
    Field,
    Kind,
    labels,
)
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import asked_only, decode, lay_over
from ansible_collections.org.djangogcp.plugins.module_utils._table_problems import table_problems
from ansible_collections.org.djangogcp.tests.unit.plugins.module_utils.tables import CONTAINERS, PROBE


def test_what_came_with_one_change_is_not_sent_with_another():
    fields = [Field("template", fields=(Field("revision", change=Change.ONE_TIME), Field("image")))]
    server = {"template": {"revision": "polls-by-hand", "image": "a"}}
    assert lay_over(server, {"template": {"image": "b"}}, fields) == {"template": {"image": "b"}}
    assert table_problems({"template": {"revision": "x"}}, fields, "") != []


def test_a_diff_shows_what_is_removed():
    server, asked = {"health": {"probe": {"http": {"path": "/"}}}}, {"probe": {"tcp": {"port": 80}}}
    after = lay_over(server, asked, [PROBE])
    sides = [asked_only(decode(wire, [PROBE]), asked, [PROBE])["probe"] for wire in (server, after)]
    assert sides[0]["http"] == {"path": "/"}
    assert sides[1] == {"tcp": {"port": 80}}
    assert asked_only(decode(server, [PROBE]), {"probe": {}}, [PROBE]) == {"probe": {"http": {"path": "/"}}}


def test_what_was_not_asked_of_an_item_is_kept():
    server = {"containers": [{"image": "old", "resources": {"cpu": "1", "gpu": "0"}}], "other": 1}
    assert lay_over(server, {"containers": [{"image": "new"}]}, [CONTAINERS]) == {
        "containers": [{"image": "new", "resources": {"cpu": "1", "gpu": "0"}}],
        "other": 1,
    }


def test_items_with_a_key_keep_their_own_rest():
    field = Field("volumes", kind=Kind.SET, key="name", fields=(Field("name"), Field("size")))
    server = {"volumes": [{"name": "a", "extra": 1}, {"name": "b", "extra": 2}]}
    merged = lay_over(server, {"volumes": [{"name": "b", "size": 5}]}, [field])
    assert merged == {"volumes": [{"name": "b", "extra": 2, "size": 5}]}


def test_laying_over_leaves_the_server_shape_alone():
    server = {"labels": {"a": "1"}}
    lay_over(server, {"labels": {"b": "2"}}, [Field("labels", kind=Kind.MAP)])
    assert server == {"labels": {"a": "1"}}


def test_a_diff_side_holds_only_what_was_asked_and_masks_secrets():
    fields = [
        Field("a"),
        Field("b"),
        Field("password", kind=Kind.SECRET),
        Field("state", change=Change.OUTPUT),
    ]
    shape = {"a": 1, "b": 2, "state": "READY"}
    assert asked_only(shape, {"a": 5, "password": "hunter2", "state": "x"}, fields) == {
        "a": 1,
        "password": "********",
    }


def test_a_label_of_google_stays_when_others_change():
    rows = (labels(),)
    server = {"labels": {"team": "shop", "old": "1", "goog-managed-by": "cloudfunctions"}}
    assert lay_over(server, {"labels": {"team": "web"}}, rows) == {
        "labels": {"goog-managed-by": "cloudfunctions", "team": "web"}
    }
