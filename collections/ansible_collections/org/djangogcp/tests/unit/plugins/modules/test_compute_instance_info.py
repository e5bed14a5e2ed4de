# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Virtual machines as one connects to them, and the keys by which they are known."""

from __future__ import annotations

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._errors import WaitTimeoutError
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task
from ansible_collections.org.djangogcp.plugins.module_utils._operations import Wait
from ansible_collections.org.djangogcp.plugins.modules import compute_instance_info

PLACE = "https://compute.googleapis.com/compute/v1/projects/p/zones/us-east1-b/instances"
KEYS = {
    "queryValue": {
        "items": [
            {"namespace": "hostkeys", "key": "ssh-rsa", "value": "BBBB"},
            {"namespace": "hostkeys", "key": "ssh-ed25519", "value": "AAAA"},
            {"namespace": "guest", "key": "ssh-dss", "value": "CCCC"},
        ]
    }
}


def instance(name, status="RUNNING", **more):
    card = {"networkIP": "10.0.0.2", "accessConfigs": [{"natIP": "198.18.0.2"}]}
    return {"name": name, "id": "7", "status": status, "networkInterfaces": [card], **more}


def run(client, *, wait=None, **params):
    asked = {"project": "p", "zone": "us-east1-b", "names": None, "labels": {}, "host_keys": False, **params}
    found = compute_instance_info.work(Task(asked, client, wait=wait or Wait(timeout=30)))
    assert found["changed"] is False
    return found["instances"]


def test_what_is_told(google, client):
    inner = {"networkInterfaces": [{"networkIP": "10.0.0.3"}], "labels": {"site": "polls"}}
    google.answer("GET", PLACE, {"items": [instance("web"), {**instance("db", "TERMINATED"), **inner}]})
    assert run(client) == [
        {
            "name": "db",
            "id": "7",
            "zone": "us-east1-b",
            "status": "TERMINATED",
            "labels": {"site": "polls"},
            "address": "10.0.0.3",
            "external_address": "",
            "host_keys": [],
        },
        {
            "name": "web",
            "id": "7",
            "zone": "us-east1-b",
            "status": "RUNNING",
            "labels": {},
            "address": "10.0.0.2",
            "external_address": "198.18.0.2",
            "host_keys": [],
        },
    ]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ({}, ["a", "b", "c"]),
        ({"site": "polls"}, ["a", "b"]),
        ({"site": "polls", "stage": "test"}, ["b"]),
        ({"site": "shop"}, []),
    ],
)
def test_only_those_with_labels(google, client, labels, names):
    found = [
        instance("c"),
        instance("b", labels={"site": "polls", "stage": "test"}),
        instance("a", labels={"site": "polls"}),
    ]
    google.answer("GET", PLACE, {"items": found})
    assert [one["name"] for one in run(client, labels=labels)] == names


def test_one_by_its_name_that_may_be_absent(google, client, refuse):
    google.answer("GET", f"{PLACE}/web", instance("web"))
    google.answer("GET", f"{PLACE}/none", refuse(404, "NOT_FOUND", "It was not found."))
    assert [one["name"] for one in run(client, names=["none", "web"])] == ["web"]


def test_host_keys_are_waited_for(google, client, refuse, fake_clock):
    nothing = refuse(404, "NOT_FOUND", "The resource 'hostkeys/' of type 'Guest Attribute' was not found.")
    google.answer("GET", f"{PLACE}/web", instance("web"))
    google.answer("GET", f"{PLACE}/web/getGuestAttributes", nothing, nothing, KEYS)
    (found,) = run(client, names=["web"], host_keys=True)
    assert found["host_keys"] == ["ssh-ed25519 AAAA", "ssh-rsa BBBB"]
    assert len(fake_clock.slept) == 2
    assert google.sent[-1].params == {"queryPath": "hostkeys/"}


def test_a_machine_that_does_not_run_has_none(google, client):
    google.answer("GET", f"{PLACE}/web", instance("web", "TERMINATED"))
    assert run(client, names=["web"], host_keys=True)[0]["host_keys"] == []


def test_that_there_are_none_is_said(google, client, refuse):
    google.answer("GET", f"{PLACE}/web", instance("web"))
    google.answer("GET", f"{PLACE}/web/getGuestAttributes", refuse(404, "NOT_FOUND", "None."))
    with pytest.raises(WaitTimeoutError) as failed:
        run(client, names=["web"], host_keys=True)
    assert failed.value.message.startswith(
        "Failed to read the host keys of instance web: it has published none for 30 seconds."
    )
    assert "enable-guest-attributes: TRUE" in failed.value.message
    assert run(client, names=["web"], host_keys=True, wait=Wait(enabled=False))[0]["host_keys"] == []
