# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

"""The options that a table makes, and what is kept of what was given."""

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.org.djangogcp.plugins.module_utils._argspec import (
    auth_of_environment,
    keep_given,
    table_options,
    type_problems,
)
from ansible_collections.org.djangogcp.plugins.module_utils._auth import AuthOptions
from ansible_collections.org.djangogcp.plugins.module_utils._differences import differences
from ansible_collections.org.djangogcp.plugins.module_utils._fields import Change, Field, Kind, number, switch
from ansible_collections.org.djangogcp.plugins.module_utils._reconcile import reconcile
from ansible_collections.org.djangogcp.plugins.module_utils._services.run import JOB, SERVICE
from ansible_collections.org.djangogcp.plugins.module_utils._services.sqladmin import INSTANCE
from ansible_collections.org.djangogcp.plugins.module_utils._shapes import asked_of

ROWS = (
    Field("mode", "A word.", choices=("FAST", "SLOW"), option_default="FAST"),
    Field(
        "secret",
        "A reference.",
        fields=(Field("name", "Its name.", required=True), switch("is_on", "Whether it is on.")),
    ),
    Field("tags", "Words.", kind=Kind.SET),
    Field("sizes", "Numbers.", kind=Kind.LIST, type="int"),
    Field("labels", "Words by words.", kind=Kind.MAP),
    Field("ports", "All ports.", kind=Kind.LIST, fields=(number("port", "The port."),)),
    Field("uid", change=Change.OUTPUT),
    Field("revision", change=Change.ONE_TIME),
    Field("password", kind=Kind.SECRET),
)


def test_a_row_is_an_option():
    assert table_options(ROWS) == {
        "mode": {"type": "str", "choices": ["FAST", "SLOW"], "default": "FAST", "no_log": False},
        "secret": {
            "type": "dict",
            "options": {
                "name": {"type": "str", "required": True, "no_log": False},
                "is_on": {"type": "bool", "no_log": False},
            },
            "no_log": False,
        },
        "tags": {"type": "list", "elements": "str", "no_log": False},
        "sizes": {"type": "list", "elements": "int", "no_log": False},
        "labels": {"type": "dict", "no_log": False},
        "ports": {
            "type": "list",
            "elements": "dict",
            "options": {"port": {"type": "int", "no_log": False}},
            "no_log": False,
        },
    }


def made(given, tables, specification):
    """The options as a module gets them."""
    validated = ArgumentSpecValidator(specification).validate(given)
    assert validated.error_messages == []
    params = validated.validated_parameters
    keep_given(params, given, tables)
    return params


def of_service(template):
    specification = table_options(SERVICE.fields)
    return made({"template": template}, {"": SERVICE.fields}, specification)["template"]


@pytest.mark.parametrize(
    "template",
    [
        {},
        {"vpc_access": {}},
        {"containers": [{"image": "app", "liveness_probe": {}}, {}]},
        {"containers": [{"startup_probe": {"http_get": {}, "tcp_socket": None}}]},
        {"volumes": [{"name": "tmp", "empty_dir": {}}]},
    ],
)
def test_what_is_empty_or_null_stays_so_and_what_was_left_out_stays_out(template):
    assert of_service(template) == template


def test_text_that_a_template_made_of_a_number_or_a_switch_is_one():
    given = {
        "max_instance_request_concurrency": "80",
        "session_affinity": "True",
        "scaling": {"cpu_utilization": "0.5"},
        "containers": [{"ports": [{"container_port": "8080"}], "env": [{"name": "A", "value": 1}]}],
    }
    template = of_service(given)
    assert template == {
        "max_instance_request_concurrency": 80,
        "session_affinity": True,
        "scaling": {"cpu_utilization": 0.5},
        "containers": [{"ports": [{"container_port": 8080}], "env": [{"name": "A", "value": "1"}]}],
    }
    assert differences({"template": of_service(given)}, {"template": template}, SERVICE.fields) == []


def test_the_items_of_a_list_and_options_in_a_json_text_are_kept_as_they_were_given():
    specification = {"jobs": {"type": "list", "elements": "dict", "options": table_options(JOB.fields)}}
    template = {"template": {"vpc_access": {}}}
    jobs = made({"jobs": [{"template": template}, {}]}, {"jobs": JOB.fields}, specification)["jobs"]
    assert [asked_of(job, JOB.fields) for job in jobs] == [{"template": template}, {}]
    assert of_service('{"vpc_access": {}}') == {"vpc_access": {}}


def test_an_empty_dictionary_removes_and_null_asks_for_nothing(google, client):
    url = f"{INSTANCE.api}/projects/p/instances/db"
    window = {"day": 1, "hour": 3}
    current = {"name": "db", "state": "RUNNABLE", "settings": {"maintenanceWindow": window}}
    google.answer("GET", url, current)
    google.answer("PATCH", url, {"name": "operation", "status": "DONE"})

    def outcome(window):
        given = {"maintenance_window": window}
        params = made(given, {"": INSTANCE.fields}, table_options(INSTANCE.fields))
        return reconcile(client, INSTANCE, {"project": "p", "name": "db"}, asked_of(params, INSTANCE.fields))

    for nothing in (None, {"day": None}, {"day": "1"}):
        assert outcome(nothing).changed is False
    assert outcome({}).changed is True
    (body,) = google.bodies("PATCH")
    assert body["settings"]["maintenanceWindow"] is None


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            {"containers": [{"startup_probe": {"http_get": {"paht": "/"}}}]},
            "template.containers[0].startup_probe.http_get.paht is unknown: expected one of http_headers, path, port. Did you mean"
            " template.containers[0].startup_probe.http_get.path?",
        ),
        (
            {"vpc_access": {"egress": "ALL_TRAFIC"}},
            "template.vpc_access.egress is 'ALL_TRAFIC': expected one of ALL_TRAFFIC, PRIVATE_RANGES_ONLY. Did you mean ALL_TRAFFIC?",
        ),
        (
            {"containers": [{"ports": [{"container_port": "many"}]}]},
            "template.containers[0].ports[0].container_port is 'many': expected an integer.",
        ),
        ({"containers": "app"}, "template.containers is 'app': expected a list."),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence_at_any_depth(template, message):
    assert type_problems(table_options(SERVICE.fields), {"template": template}) == [message]


def test_what_authenticates_a_program_is_what_authenticates_a_module_without_options(monkeypatch):
    for name in (
        "GCP_AUTH_KIND",
        "GCP_SCOPES",
        "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT",
        "GCP_ACCESS_TOKEN",
    ):
        monkeypatch.delenv(name, raising=False)
    scopes = tuple(f"https://www.googleapis.com/auth/{name}" for name in ("cloud-platform", "userinfo.email"))
    assert AuthOptions.from_params(auth_of_environment()) == AuthOptions(scopes=scopes)
    monkeypatch.setenv("GCP_AUTH_KIND", "accesstoken")
    monkeypatch.setenv("GCP_ACCESS_TOKEN", "t")
    monkeypatch.setenv("GCP_SCOPES", "one,two")
    monkeypatch.setenv("CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT", "")
    assert AuthOptions.from_params(auth_of_environment()) == AuthOptions(
        auth_kind="accesstoken", access_token="t", scopes=("one", "two")
    )
