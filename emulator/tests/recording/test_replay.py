"""How a recorded conversation is sent again and compared."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from gcp_emulator.recording.check import agreement, report
from gcp_emulator.recording.form import Conversation, ConversationError, Exchange, load
from gcp_emulator.recording.replay import Outcome, Replay

URL = "https://run.googleapis.com/v2/projects/${projectId}/x"
TIME = "2024-04-01T12:34:56.123456Z"


class Cloud:
    """Answers what it is told, in order."""

    def __init__(self, *answers: tuple[int, Any]) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, str, Any]] = []

    async def send(self, method: str, url: str, body: Any) -> tuple[int, Any]:
        self.sent.append((method, url, body))
        return self.answers.pop(0)


def replayed(cloud: Cloud, *exchanges: Exchange) -> list[Outcome]:
    replay = Replay(cloud.send, {"projectId": "p", "projectNumber": "12"}, "user:me@example.com")
    return asyncio.run(replay.run(Conversation("run/x", "", list(exchanges)), "u1"))


def differences(recorded: Any, answer: Any) -> list[str]:
    return replayed(Cloud((200, answer)), Exchange("GET", URL, 200, None, recorded))[0].differences


@pytest.mark.parametrize(
    ("recorded", "answer"),
    [
        ({"a": 1}, {"a": 1, "more": 2}),
        ({"t": TIME}, {"t": "2026-11-28T00:00:00Z"}),
        ({"etag": "abcdef0123A="}, {"etag": '"xyz"'}),
        ({"generation": "1"}, {"generation": "77"}),
        ({"n": "projects/${projectNumber}/x-${uniqueId}"}, {"n": "projects/12/x-u1"}),
        ({"n": "o/${operationID}", "m": "${operationID}"}, {"n": "o/abc", "m": "abc"}),
        ({"text": f"at {TIME}: done"}, {"text": "at 2026-01-01T00:00:00Z: done"}),
        ({"password": "hidden"}, {"password": "anything"}),
        (
            {"host": "", "authorizedNetworks": []},
            {"host": "%", "authorizedNetworks": [{"value": "1.2.3.0/24"}]},
        ),
        ({}, None),
    ],
)
def test_what_agrees(recorded: Any, answer: Any) -> None:
    assert differences(recorded, answer) == []


@pytest.mark.parametrize(
    ("recorded", "answer", "expected"),
    [
        ({"a": {"b": 1}}, {"a": {}}, "a.b is missing: 1"),
        ({"a": 1}, {"a": "1"}, "a is '1' instead of 1"),
        ({"a": [1]}, {"a": [1, 2]}, "a is [1, 2] instead of [1]"),
        ({"a": [{"b": True}]}, {"a": [{"b": False}]}, "a[].b is False instead of True"),
        ({"etag": "abcdef0123A="}, {}, "etag is missing: 'abcdef0123A='"),
        (
            {"n": "${operationID} ${operationID}"},
            {"n": "a b"},
            "n is 'a b' instead of '${operationID} ${operationID}'",
        ),
        ({"n": "${projectId}"}, {"n": "other"}, "n is 'other' instead of '${projectId}'"),
    ],
)
def test_what_differs(recorded: Any, answer: Any, expected: str) -> None:
    assert differences(recorded, answer) == [expected]


def test_another_status_is_the_one_difference() -> None:
    cloud = Cloud((400, {"error": {"code": 400}}))
    outcome = replayed(cloud, Exchange("GET", URL, 404, None, {"error": {"code": 404}}))[0]
    assert outcome.differences == ["status 400 instead of 404: {'error': {'code': 400}}"]


def test_what_placeholders_stand_for_is_learnt_and_sent() -> None:
    cloud = Cloud((200, {"id": "77"}), (200, {}))
    replayed(
        cloud,
        Exchange("GET", URL, 200, None, {"id": "${networkID}"}),
        Exchange("GET", URL + "/${networkID}", 200, None, {}),
    )
    assert [url for _, url, _ in cloud.sent] == [
        URL.replace("${projectId}", "p"),
        URL.replace("${projectId}", "p") + "/77",
    ]


def test_a_placeholder_that_was_sent_before_it_was_known_may_come_back_as_it_was_sent() -> None:
    made = {"name": "folders/7", "parent": "folders/folderid-u1"}
    cloud = Cloud((200, made), (200, made), (200, {"name": "folders/7", "parent": "folders/8"}))
    recorded = {"name": "folders/${folderID}", "parent": "folders/${folderID}"}
    outcomes = replayed(
        cloud,
        Exchange("POST", URL, 200, {"parent": "folders/${folderID}"}, recorded),
        Exchange("GET", URL + "/${folderID}", 200, None, recorded),
        Exchange("GET", URL + "/${folderID}", 200, None, recorded),
    )
    assert cloud.sent[0][2] == {"parent": "folders/folderid-u1"}
    assert [url.rpartition("/")[2] for _, url, _ in cloud.sent] == ["x", "7", "7"]
    assert [outcome.differences for outcome in outcomes] == [
        [],
        [],
        ["parent is 'folders/8' instead of 'folders/${folderID}'"],
    ]


def test_each_change_has_an_operation_of_its_own() -> None:
    def change(name: str) -> tuple[int, Any]:
        return 200, {"name": f"operations/{name}"}

    recorded = Exchange("POST", URL, 200, {}, {"name": "operations/${operationID}"})
    assert [one.differences for one in replayed(Cloud(change("a"), change("b")), recorded, recorded)] == [
        [],
        [],
    ]


def test_the_end_of_an_operation_is_waited_for() -> None:
    url = "https://run.googleapis.com/v2/projects/p/operations/o"
    cloud = Cloud((200, {"done": False}), (200, {}), (200, {"done": True}))
    assert replayed(cloud, Exchange("GET", url, 200, None, {"done": True}))[0].differences == []
    assert len(cloud.sent) == 3


def test_an_update_is_sent_with_the_guards_of_today() -> None:
    cloud = Cloud((200, {"etag": "now", "settings": {"settingsVersion": "7"}}), (200, {}))
    body = {
        "etag": "abcdef0123A=",
        "fingerprint": "abcdef0123A=",
        "settings": {"settingsVersion": "1", "tier": "small"},
    }
    replayed(cloud, Exchange("GET", URL, 200, None, {}), Exchange("PATCH", URL, 200, body, {}))
    assert cloud.sent[1][2] == {"etag": "now", "settings": {"settingsVersion": "7", "tier": "small"}}


def test_a_change_of_labels_is_sent_with_the_fingerprint_of_what_it_labels() -> None:
    cloud = Cloud((200, {"labelFingerprint": "now"}), (200, {}))
    look = Exchange("GET", URL, 200, None, {})
    change = Exchange(
        "POST", f"{URL}/setLabels", 200, {"labels": {"a": "b"}, "labelFingerprint": "abcdef0123A="}, {}
    )
    replayed(cloud, look, change)
    assert cloud.sent[1][2] == {"labels": {"a": "b"}, "labelFingerprint": "now"}


def test_who_sends_a_policy_of_a_project_stays_its_owner() -> None:
    url = "https://cloudresourcemanager.googleapis.com/v1/projects/${projectId}:setIamPolicy?alt=json"
    cloud = Cloud((200, {"bindings": [{"role": "roles/owner", "members": ["user:me@example.com"]}]}))
    outcome = replayed(cloud, Exchange("POST", url, 200, {"policy": {"bindings": []}}, {"bindings": []}))[0]
    assert cloud.sent[0][2]["policy"]["bindings"] == [
        {"role": "roles/owner", "members": ["user:me@example.com"]}
    ]
    assert outcome.differences == []


def test_a_report_counts_by_folder_and_tells_each_difference_once() -> None:
    exchange = Exchange("GET", URL, 200)
    outcomes = [
        Outcome("run/a", exchange, []),
        Outcome("run/b", exchange, ["x is missing: 1"]),
        Outcome("run/b", exchange, ["x is missing: 1"]),
    ]
    assert agreement(outcomes) == {"run": (1, 3)}
    assert report(outcomes) == (
        f"run: 1 of 3 exchanges agree (33.3 %)\n2 x run: x is missing: 1\n    as in run/b: GET {URL}\n"
    )


def test_files_of_a_folder_are_named_by_their_folders(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    conversation = Conversation("run/x", "somewhere", [Exchange("GET", URL, 404, None, {"error": 1})])
    (tmp_path / "run/x.json").write_text(conversation.text(), "utf-8")
    assert list(load(tmp_path)) == [conversation]
    assert next(iter(load(tmp_path / "run/x.json"))).name == "x"


@pytest.mark.parametrize(
    "text", ["", "[]", '{"exchanges": [{"method": "GET"}]}', '{"exchanges": [{"verb": 1}]}']
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text, "utf-8")
    with pytest.raises(ConversationError, match=r"x\.json is no recorded conversation"):
        list(load(tmp_path / "x.json"))


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConversationError, match=r"cannot read .*absent\.json: No such file"):
        list(load(tmp_path / "absent.json"))


def test_a_file_leaves_out_what_there_was_not() -> None:
    entry = json.loads(Conversation("", "s", [Exchange("DELETE", URL, 204)]).text())["exchanges"][0]
    assert entry == {"method": "DELETE", "url": URL, "status": 204}


def test_a_placeholder_of_an_address_is_what_the_name_in_a_later_answer_spells_out() -> None:
    cloud = Cloud((404, {}), (200, {"name": "o/1"}), (200, {"name": "projects/p/jobs/a-u1"}))
    jobs = "https://run.googleapis.com/v2/projects/${projectId}/jobs"
    one = f"{jobs}/${{jobID}}"
    outcomes = replayed(
        cloud,
        Exchange("GET", one, 404, None, {}),
        Exchange("POST", f"{jobs}?jobId=${{jobID}}", 200, {}, {"name": "o/${operationID}"}),
        Exchange("GET", one, 200, None, {"name": "projects/${projectId}/jobs/a-${uniqueId}"}),
    )
    assert [outcome.differences for outcome in outcomes] == [[], [], []]
    assert [url.rpartition("/")[2] for _, url, _ in cloud.sent] == ["a-u1", "jobs?jobId=a-u1", "a-u1"]


COMPUTE = "https://compute.googleapis.com/compute/v1/projects/${projectId}/global"


def missing(path: str) -> dict[str, Any]:
    return {
        "error": {
            "code": 404,
            "message": f"The resource 'projects/${{projectId}}/global/{path}' was not found",
        }
    }


def test_a_placeholder_of_an_address_is_what_its_own_answer_spells_out() -> None:
    """In the text that it is not found, or in its link; two things that share a placeholder are told apart so."""
    link = "https://www.googleapis.com/compute/v1/projects/${projectId}/global/urlMaps"
    url = f"{COMPUTE}/urlMaps/${{urlMapID}}"
    own = {"error": {"code": 404, "message": "The resource 'projects/p/global/urlMaps/a-u1' was not found"}}
    cloud = Cloud((404, own), (200, {}), (200, {"selfLink": link.replace("${projectId}", "p") + "/b-u1"}))
    outcomes = replayed(
        cloud,
        Exchange("GET", url, 404, None, missing("urlMaps/a-${uniqueId}")),
        Exchange("DELETE", url, 200),
        Exchange("GET", url, 200, None, {"selfLink": f"{link}/b-${{uniqueId}}"}),
    )
    assert [url.rpartition("/")[2] for _, url, _ in cloud.sent] == ["a-u1", "a-u1", "b-u1"]
    assert [outcome.differences for outcome in outcomes] == [[], [], []]


def test_a_network_that_nobody_made_is_the_default_one() -> None:
    cloud = Cloud((200, {"name": "default"}), (200, {}), (200, {}), (200, {}))
    outcomes = replayed(
        cloud,
        Exchange("GET", f"{COMPUTE}/networks/${{networkID}}", 200, None, {"name": "${networkID}"}),
        Exchange("POST", f"{COMPUTE}/firewalls", 200, {"network": "global/networks/${networkID}"}, {}),
        Exchange("POST", f"{COMPUTE}/networks", 200, {"name": "${ownID}"}, {}),
        Exchange("GET", f"{COMPUTE}/networks/${{ownID}}", 200, None, {}),
    )
    assert outcomes[0].differences == []
    assert cloud.sent[1][2] == {"network": "global/networks/default"}
    assert cloud.sent[3][1].endswith("/networks/ownid-u1")


def test_what_is_made_twice_by_one_placeholder_is_two_things() -> None:
    disks, disk = f"{COMPUTE}/disks", f"{COMPUTE}/disks/${{diskID}}"
    made = {"name": "${diskID}"}
    cloud = Cloud(
        *((404, {}), (200, {}), (404, {}), (200, {}), (200, {"name": "diskid-u1-2"}), (200, {})),
        *((200, {}), (200, {"name": "diskid-u1"}), (200, {})),
    )
    outcomes = replayed(
        cloud,
        Exchange("GET", disk, 404, None, {}),
        Exchange("POST", disks, 200, made, {}),
        Exchange("GET", disk, 404, None, {}),
        Exchange("POST", disks, 200, made, {}),
        Exchange("GET", disk, 200, None, made),
        Exchange("POST", f"{COMPUTE}/both", 200, {"disks": ["${diskID}", "${diskID}"]}, {}),
        Exchange("DELETE", disk, 200, None, {}),
        Exchange("GET", disk, 200, None, made),
        Exchange("DELETE", disk, 200, None, {}),
    )
    one, two = "diskid-u1", "diskid-u1-2"
    both = cloud.sent.pop(5)[2]
    assert both == {"disks": [one, two]}
    sent = [body["name"] if body else url.rpartition("/")[2] for _, url, body in cloud.sent]
    assert sent == [one, one, two, two, two, two, one, one]
    assert [outcome.differences for outcome in outcomes] == [[]] * 9


def test_the_version_in_a_link_is_the_recorders() -> None:
    """They write beta over in addresses, and leave it in answers."""
    link = "https://www.googleapis.com/compute/{}/projects/p/global/healthChecks/a"
    assert differences({"healthChecks": [link.format("beta")]}, {"healthChecks": [link.format("v1")]}) == []


def test_lists_to_which_google_adds_have_to_have_what_is_recorded() -> None:
    assert differences({"subnetworks": ["a", "c"]}, {"subnetworks": ["a", "b", "c"]}) == []
    assert differences({"subnetworks": ["a", "d"]}, {"subnetworks": ["a"]}) == ["subnetworks lacks 'd'"]
