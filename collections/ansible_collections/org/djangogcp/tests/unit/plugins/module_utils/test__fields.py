# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._fields import (
    INT64,
    Change,
    Field,
    Kind,
    asked_only,
    decode,
    differences,
    lay_over,
    table_problems,
)
from ansible_collections.org.djangogcp.plugins.module_utils._rules import ENVIRONMENT_NAME
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import SERVICE

ENV = Field(
    "env",
    kind=Kind.SET,
    key="name",
    whole=True,
    fields=(Field("name"), Field("value"), Field("ref", wire="source.ref")),
)
CONTAINERS = Field(
    "containers", kind=Kind.LIST, fields=(Field("image"), Field("cpu", wire="resources.cpu"), ENV)
)


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
        (Field("a", same=str.upper), "europe-west1", {"a": "EUROPE-WEST1"}),
        (Field("a", codec=INT64), 5, {"a": "5"}),
        (Field("a", kind=Kind.SET), ["x", "y"], {"a": ["y", "x"]}),
        (Field("a", kind=Kind.LIST), [], {}),
        (Field("a", kind=Kind.MAP), {}, {}),
        (Field("a", kind=Kind.MAP), {"k": 1}, {"a": {"k": "1"}}),
        (CONTAINERS, [{"image": "i"}], {"containers": [{"image": "i", "resources": {"cpu": "1"}}]}),
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
        (Field("a", exact=True), False, {}),
        (Field("a", kind=Kind.SET), ["x"], {"a": ["x", "y"]}),
        (Field("a", kind=Kind.SET), ["x"], {}),
        (Field("a", kind=Kind.LIST), [], {"a": ["x"]}),
        (Field("a", kind=Kind.LIST), ["x", "y"], {"a": ["y", "x"]}),
        (Field("a", kind=Kind.MAP), {}, {"a": {"k": "v"}}),
        (Field("a", kind=Kind.MAP), {"k": "v"}, {"a": {"k": "v", "other": "v"}}),
        (CONTAINERS, [{"image": "i"}], {"containers": [{"image": "i"}, {"image": "sidecar"}]}),
        (CONTAINERS, [{"cpu": "2"}], {"containers": [{"image": "i", "resources": {"cpu": "1"}}]}),
    ],
)
def test_what_is_not_so_is_a_difference(field, wanted, server):
    assert names(field, wanted, server) == [field.name]


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


TEMPLATE = next(field for field in SERVICE.fields if field.name == "template")


def test_a_name_that_the_api_does_not_have_is_refused_with_the_nearest_one():
    assert table_problems({"containers": [{"imgae": "x"}]}, TEMPLATE.fields, "template") == [
        "template.containers[0].imgae is unknown: expected one of args, command, env, image, liveness_probe, name, ports, "
        "resources, startup_probe, volume_mounts, working_dir. Did you mean template.containers[0].image?"
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"scaling": "many"},
            "template.scaling is 'many': expected a dictionary with one of max_instance_count, min_instance_count.",
        ),
        ({"containers": "x"}, "template.containers is 'x': expected a list."),
        ({"labels": "x"}, "template.labels is 'x': expected a dictionary."),
        ({"timeout": ["x"]}, "template.timeout is ['x']: expected a single value."),
        ({"timeout": "300"}, "template.timeout is '300': expected seconds such as 300s, from 1s to 3600s."),
        (
            {"containers": [{"env": [{"name": "PORT"}]}]},
            f"template.containers[0].env[0].name is 'PORT': expected {ENVIRONMENT_NAME.expected}.",
        ),
    ],
)
def test_a_value_of_another_shape_is_refused(value, message):
    assert table_problems(value, TEMPLATE.fields, "template") == [message]


def test_every_documented_name_is_accepted():
    asked = {
        "service_account": "x@p.iam.gserviceaccount.com",
        "containers": [{"env": [{"name": "A", "value_source": {"secret_key_ref": {"secret": "s"}}}]}],
    }
    assert table_problems(asked, TEMPLATE.fields, "template") == []
