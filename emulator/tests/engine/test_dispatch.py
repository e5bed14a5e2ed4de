"""What every call goes through, over the proxy: routing, credentials, permissions, validation, partial responses."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from emulator.tests.running import PROJECT, RunningEmulator

SECRETS = "https://secretmanager.googleapis.com/v1"


def _body(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["message"]


def test_credentials_come_before_permissions_and_those_before_the_body(emulator: RunningEmulator) -> None:
    url = f"{SECRETS}/projects/{emulator.project}/secrets?secretId=x"
    wrong = {"unknown": 1}
    anonymous = emulator.session(None).post(url, json=wrong)
    assert (anonymous.status_code, anonymous.headers["WWW-Authenticate"]) == (
        401,
        'Bearer realm="https://accounts.google.com/"',
    )
    stranger = emulator.session("user:stranger@example.com").post(url, json=wrong)
    assert _body(stranger) == (
        403,
        f"Permission 'secretmanager.secrets.create' denied on resource 'projects/{emulator.project}' (or it may not exist).",
    )
    assert _body(emulator.session().post(url, json=wrong)) == (
        400,
        'Invalid JSON payload received. Unknown name "unknown": Cannot find field.',
    )
    assert _body(emulator.session().post(url, json={})) == (
        400,
        "Required field 'replication' is missing or empty.",
    )


def test_a_disabled_api_is_told_before_permissions(emulator: RunningEmulator) -> None:
    emulator.disable("secretmanager.googleapis.com")
    url = f"{SECRETS}/projects/{emulator.project}/secrets"
    answer = emulator.session("user:stranger@example.com").get(url)
    assert answer.json()["error"]["details"][0]["reason"] == "SERVICE_DISABLED"


def test_project_numbers_and_ids_name_the_same_resource(emulator: RunningEmulator) -> None:
    session = emulator.session()
    body: dict[str, Any] = {"replication": {"automatic": {}}}
    made = session.post(f"{SECRETS}/projects/{emulator.number}/secrets?secretId=x", json=body)
    assert made.json()["name"] == f"projects/{emulator.number}/secrets/x"
    found = session.get(f"{SECRETS}/projects/{emulator.project}/secrets/x")
    assert found.json()["name"] == made.json()["name"]


def test_an_unknown_project_is_forbidden_not_missing(emulator: RunningEmulator) -> None:
    answer = emulator.session().get(f"{SECRETS}/projects/no-such-project/secrets")
    assert _body(answer) == (403, "Permission denied on resource project no-such-project.")
    assert answer.json()["error"]["details"][0]["metadata"]["consumer"] == "projects/no-such-project"


def test_a_method_that_is_not_emulated_is_refused_and_remembered(emulator: RunningEmulator) -> None:
    answer = emulator.session().get(f"{SECRETS}/projects/{emulator.project}/locations")
    method = "secretmanager.projects.locations.list"
    assert _body(answer) == (400, f"gcp-emulator does not emulate {method}; nothing was done.")
    emulator.expect_unhandled(method)


def test_unknown_hosts_paths_and_verbs(emulator: RunningEmulator) -> None:
    session = emulator.session()
    seen = [
        session.get("https://datastore.googleapis.com/v1/projects/p"),
        session.get(f"{SECRETS}/nothing/here"),
        session.put(f"{SECRETS}/projects/{emulator.project}/secrets"),
    ]
    assert [answer.status_code for answer in seen] == [404, 404, 405]
    emulator.expect_unhandled(
        "GET https://datastore.googleapis.com/v1/projects/p",
        "GET https://secretmanager.googleapis.com/v1/nothing/here",
        f"PUT https://secretmanager.googleapis.com/v1/projects/{emulator.project}/secrets",
    )


def test_a_body_that_is_no_json_is_refused(emulator: RunningEmulator) -> None:
    url = f"{SECRETS}/projects/{emulator.project}/secrets?secretId=x"
    answer = emulator.session().post(url, data="{no json", headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("Invalid JSON payload received. ")


def test_fields_cut_the_answer(emulator: RunningEmulator) -> None:
    url = f"{SECRETS}/projects/{emulator.project}/secrets"
    session = emulator.session()
    session.post(f"{url}?secretId=x", json={"replication": {"automatic": {}}})
    answer = session.get(url, params={"fields": "secrets(name),totalSize"}).json()
    assert answer == {"secrets": [{"name": f"projects/{emulator.number}/secrets/x"}], "totalSize": 1}


def test_pages_follow_one_another(emulator: RunningEmulator) -> None:
    url = f"{SECRETS}/projects/{emulator.project}/secrets"
    session = emulator.session()
    for number in range(5):
        session.post(f"{url}?secretId=s{number}", json={"replication": {"automatic": {}}})
    seen, token = [], ""
    for _ in range(3):
        page = session.get(url, params={"pageSize": "2", "pageToken": token}).json()
        seen += [secret["name"].rpartition("/")[2] for secret in page["secrets"]]
        token = page.get("nextPageToken", "")
    assert (seen, token) == (["s0", "s1", "s2", "s3", "s4"], "")


def test_one_policy_written_by_many_at_once_loses_nothing(emulator: RunningEmulator) -> None:
    url = f"https://cloudresourcemanager.googleapis.com/v1/projects/{emulator.project}"
    members = [f"user:m{number}@example.com" for number in range(8)]

    def grant(member: str) -> int:
        session, conflicts = emulator.session(), 0
        while True:
            policy = session.post(f"{url}:getIamPolicy", json={}).json()
            policy["bindings"].append({"role": "roles/run.viewer", "members": [member]})
            answer = session.post(f"{url}:setIamPolicy", json={"policy": policy})
            if answer.status_code == 200:
                return conflicts
            assert answer.status_code == 409, answer.text
            conflicts += 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(grant, members))
    policy = emulator.session().post(f"{url}:getIamPolicy", json={}).json()
    (granted,) = [b["members"] for b in policy["bindings"] if b["role"] == "roles/run.viewer"]
    assert granted == members


def test_the_same_call_goes_without_a_proxy(emulator: RunningEmulator) -> None:
    session = emulator.session()
    session.proxies = {}
    path = f"/_/secretmanager.googleapis.com/v1/projects/{emulator.project}/secrets"
    assert session.get(emulator.proxy + path).json() == {"totalSize": 0}


def test_a_query_may_hold_an_absolute_address(emulator: RunningEmulator) -> None:
    url = f"https://serviceusage.googleapis.com/v1/projects/{emulator.project}/services"
    answer = emulator.session().get(f"{url}?filter=https://example.com/x")
    assert _body(answer) == (
        400,
        "Invalid filter 'https://example.com/x': the allowed filters are state:ENABLED and state:DISABLED.",
    )


def test_regional_and_mtls_host_names_are_the_same_api(emulator: RunningEmulator) -> None:
    session = emulator.session()
    path = f"/v1/projects/{emulator.project}/secrets"
    for host in (
        "secretmanager.mtls.googleapis.com",
        "europe-west1-secretmanager.googleapis.com",
        "secretmanager.europe-west1.rep.googleapis.com",
    ):
        assert json.loads(session.get(f"https://{host}{path}").text) == {"totalSize": 0}, host


def test_a_request_may_repeat_its_path_and_a_resource_may_not(emulator: RunningEmulator) -> None:
    session = emulator.session()
    parent = f"projects/{PROJECT}"
    made = session.post(
        f"{SECRETS}/{parent}/secrets?secretId=x", json={"replication": {"automatic": {}}, "parent": parent}
    )
    assert (made.status_code, 'Unknown name "parent"' in made.text.replace("\\", "")) == (400, True)
    session.post(f"{SECRETS}/{parent}/secrets?secretId=x", json={"replication": {"automatic": {}}})
    version = {"parent": f"{parent}/secrets/x", "payload": {"data": "aGk="}}
    assert session.post(f"{SECRETS}/{parent}/secrets/x:addVersion", json=version).status_code == 200
