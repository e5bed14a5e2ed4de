"""Faults: the plan (validation, counting, matching) and what each kind does to a real client."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from gcp_emulator.cli import commands
from gcp_emulator.engine.errors import ApiError
from gcp_emulator.engine.faults import KINDS, Fault, Faults

from emulator.tests.running import PROJECT, RunningEmulator, until

SECRETS = f"https://secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"
CREATE = "secretmanager.projects.secrets.create"
GET = "secretmanager.projects.secrets.get"
SET = "secretmanager.projects.secrets.setIamPolicy"
AUTOMATIC: dict[str, Any] = {"replication": {"automatic": {}}}


def shown(emulator: RunningEmulator) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        emulator.session(None).get(f"{emulator.proxy}/_emulator/faults").json()["faults"]
    )
    return found


def create(emulator: RunningEmulator, name: str = "x") -> requests.Response:
    return emulator.session().post(SECRETS, params={"secretId": name}, json=AUTOMATIC)


def exists(emulator: RunningEmulator, name: str = "x") -> bool:
    return emulator.session().get(f"{SECRETS}/{name}").status_code == 200


# The plan ----------------------------------------------------------------------------------------------------------------


def checked(*faults: Any) -> list[dict[str, Any]]:
    return Faults(frozenset({CREATE, GET, SET, "run.projects.locations.services.create"})).add(list(faults))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("x", "Invalid value at 'faults[0]': an object is expected."),
        ({"kind": "stall"}, "Required field 'faults[0].method' is missing or empty."),
        ({"method": GET}, "Required field 'faults[0].kind' is missing or empty."),
        (
            {"method": GET, "kind": "unavailabel"},
            'Invalid value at \'faults[0].kind\': "unavailabel" is not known. Did you mean "unavailable"?',
        ),
        (
            {"method": "secretmanager.projects.secret.get", "kind": "stall"},
            "Invalid value at 'faults[0].method': \"secretmanager.projects.secret.get\" is not known. "
            f'Did you mean "{GET}"?',
        ),
        (
            {"method": GET, "kind": "stall", "retryAfter": 1},
            "Invalid JSON payload received. Unknown name \"retryAfter\" at 'faults[0]': Cannot find field for the kind "
            "stall. It has: method, kind, count, skip, probability, seed, caller, target, seconds.",
        ),
        (
            {"method": GET, "kind": "stall", "count": "1"},
            "Invalid value at 'faults[0].count' (TYPE_INT64), '1'",
        ),
        (
            {"method": GET, "kind": "stall", "count": True},
            "Invalid value at 'faults[0].count' (TYPE_INT64), True",
        ),
        (
            {"method": GET, "kind": "stall", "probability": 2},
            "Invalid value at 'faults[0].probability': 2 is not between 0 and 1.",
        ),
        (
            {"method": GET, "kind": "revision_crashes"},
            f"Invalid value at 'faults[0].method': \"{GET}\" is none of run.projects.locations.services.create, "
            "run.projects.locations.services.patch, the methods at which this kind can happen.",
        ),
        (
            {"method": SET, "kind": "grant_pending", "service": "cloudsqll"},
            'Invalid value at \'faults[0].service\': "cloudsqll" is not known. Did you mean "cloudsql"?',
        ),
    ],
)
def test_a_wrong_fault_is_refused_in_words(fault: Any, message: str) -> None:
    with pytest.raises(ApiError) as refused:
        checked(fault)
    assert (refused.value.status, refused.value.message) == ("INVALID_ARGUMENT", message)


@pytest.mark.parametrize(
    "service",
    ["artifactregistry", "cloudbuild", "cloudsql", "iam", "run", "secretmanager", "storage", "cloud*"],
)
def test_a_grant_may_take_effect_later_in_any_service(service: str) -> None:
    (added,) = checked({"method": SET, "kind": "grant_pending", "service": service})
    assert added["service"] == service


def test_of_a_list_with_a_wrong_fault_none_is_added() -> None:
    faults = Faults(frozenset({GET}))
    with pytest.raises(ApiError):
        faults.add([{"method": GET, "kind": "stall"}, {"method": GET, "kind": "x"}])
    assert faults.view() == []


def struck(settings: dict[str, Any], calls: int = 6) -> list[bool]:
    (added,) = checked({"method": GET, "kind": "unavailable", **settings})
    fault = Fault("f1", {key: added[key] for key in added if key not in ("id", "seen", "struck")})
    return [fault.strikes() for _ in range(calls)]


def test_count_and_skip_choose_the_calls() -> None:
    assert struck({}) == [True, False, False, False, False, False]
    assert struck({"skip": 1, "count": 2}) == [False, True, True, False, False, False]
    assert struck({"count": 0}) == [True] * 6


def test_a_seed_makes_the_draws_repeatable() -> None:
    drawn = struck({"count": 0, "probability": 0.5, "seed": 7}, 50)
    assert drawn == struck({"count": 0, "probability": 0.5, "seed": 7}, 50)
    assert drawn != struck({"count": 0, "probability": 0.5, "seed": 8}, 50)
    assert 10 < drawn.count(True) < 40
    assert struck({"count": 0, "probability": 0}) == [False] * 6


def test_method_caller_and_target_choose_the_calls() -> None:
    faults = Faults(frozenset({CREATE, GET}))
    faults.add(
        [
            {
                "method": "secretmanager.*",
                "kind": "unavailable",
                "count": 0,
                "caller": "user:a@*",
                "target": "*secretId=x",
            }
        ]
    )
    target = "/v1/projects/p/secrets?secretId=x"
    assert faults.strike(CREATE, "user:a@example.com", target)
    assert not faults.strike(CREATE, "user:b@example.com", target)
    assert not faults.strike(CREATE, "user:a@example.com", target + "y")
    assert not faults.strike("run.projects.locations.services.get", "user:a@example.com", target)


def test_a_web_page_plans_no_faults(emulator: RunningEmulator) -> None:
    url = f"{emulator.proxy}/_emulator/faults"
    answer = emulator.session(None).post(
        url,
        data='{"kind": "unavailable"}',
        headers={"Origin": "https://example.com", "Content-Type": "text/plain"},
    )
    assert answer.status_code == 403
    assert emulator.session(None).get(url).json() == {"faults": []}


def test_the_plan_over_http(emulator: RunningEmulator) -> None:
    session, url = emulator.session(None), f"{emulator.proxy}/_emulator/faults"
    one = session.post(url, json={"method": GET, "kind": "unavailable"}).json()["faults"]
    assert one == [
        {
            "id": "f1",
            "method": GET,
            "kind": "unavailable",
            "count": 1,
            "skip": 0,
            "probability": 1.0,
            "seed": 0,
            "caller": "*",
            "target": "*",
            "seen": 0,
            "struck": 0,
        }
    ]
    emulator.plan({"method": CREATE, "kind": "html"})
    assert session.delete(f"{url}/f1").json()["faults"] == shown(emulator)
    assert [fault["id"] for fault in shown(emulator)] == ["f2"]
    assert session.delete(f"{url}/f1").json()["error"]["message"] == "Fault 'f1' was not found."
    assert session.delete(url).json() == {"faults": []}
    refusals = [
        session.post(url, data=b"{"),
        session.post(url, json=[]),
        session.post(url, json={"faults": {}}),
        session.put(url, json={}),
    ]
    assert [answer.status_code for answer in refusals] == [400, 400, 400, 405]
    assert refusals[2].json()["error"]["message"].startswith("Invalid value at 'faults'")


def test_the_plan_from_the_command_line(
    emulator: RunningEmulator,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    holder = {"pid": 1, "port": emulator.emulator.front.port}
    monkeypatch.setattr(commands._Lock, "holder", lambda self: holder)
    state = ["--state", str(tmp_path)]
    assert commands.main(["faults", "add", *state, "--method", GET, "--kind", "stall", "--seconds", "2"]) == 0
    added = capsys.readouterr().out
    assert added.startswith(f"f1  stall at {GET} (")
    assert "seconds 2.0" in added
    assert "struck 0 of 0" in added
    file = tmp_path / "plan.yaml"
    file.write_text(f"- {{method: {CREATE}, kind: rate_limited, retryAfter: 5}}\n", "utf-8")
    assert commands.main(["faults", "add", *state, "--plan", str(file)]) == 0
    assert [fault["kind"] for fault in shown(emulator)] == ["stall", "rate_limited"]
    assert commands.main(["faults", "add", *state, "--method", GET, "--kind", "x"]) == 1
    assert "is not known" in capsys.readouterr().err
    assert commands.main(["faults", "clear", *state, "f1"]) == 0
    assert commands.main(["faults", "list", *state]) == 0
    assert capsys.readouterr().out.count("f2  rate_limited") == 2
    assert commands.main(["faults", "clear", *state]) == 0
    assert shown(emulator) == []


def test_the_readme_lists_every_kind() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    assert [kind for kind in KINDS if f"`{kind}`" not in text] == []


# Answers -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status", "word"),
    [
        ("unauthenticated", 401, "UNAUTHENTICATED"),
        ("forbidden", 403, "PERMISSION_DENIED"),
        ("not_found", 404, "NOT_FOUND"),
        ("conflict", 409, "ABORTED"),
        ("precondition_failed", 412, "FAILED_PRECONDITION"),
        ("rate_limited", 429, "RESOURCE_EXHAUSTED"),
        ("internal_error", 500, "INTERNAL"),
        ("unavailable", 503, "UNAVAILABLE"),
    ],
)
def test_errors_come_instead_of_the_effect(
    emulator: RunningEmulator, kind: str, status: int, word: str
) -> None:
    emulator.plan({"method": CREATE, "kind": kind})
    answer = create(emulator)
    assert (answer.status_code, answer.json()["error"]["status"]) == (status, word)
    assert not exists(emulator)
    assert create(emulator).status_code == 200
    assert [(fault["seen"], fault["struck"]) for fault in shown(emulator)] == [(2, 1)]


def test_errors_have_the_form_of_the_api(emulator: RunningEmulator) -> None:
    emulator.plan(
        {"method": "storage.buckets.list", "kind": "forbidden"},
        {"method": "storage.objects.insert", "kind": "rate_limited", "retryAfter": 7},
    )
    session = emulator.session()
    listed = session.get(f"https://storage.googleapis.com/storage/v1/b?project={PROJECT}").json()["error"]
    assert listed["errors"][0]["reason"] == "forbidden"
    assert "Permission 'storage.buckets.list' denied" in listed["message"]
    upload = session.post("https://storage.googleapis.com/upload/storage/v1/b/b/o?uploadType=media&name=o")
    assert (upload.status_code, upload.headers["Retry-After"]) == (429, "7")


def test_a_front_end_may_answer_html(emulator: RunningEmulator) -> None:
    emulator.plan({"method": CREATE, "kind": "html"})
    answer = create(emulator)
    assert (answer.status_code, answer.headers["Content-Type"]) == (502, "text/html; charset=UTF-8")
    assert not exists(emulator)


@pytest.mark.parametrize(("kind", "done"), [("reset_before", False), ("reset_after", True)])
def test_a_connection_is_reset_before_or_after_the_effect(
    emulator: RunningEmulator, kind: str, done: bool
) -> None:
    emulator.plan({"method": CREATE, "kind": kind})
    with pytest.raises(requests.ConnectionError, match=r"reset by peer|Remote end closed|EOF occurred"):
        create(emulator)
    assert exists(emulator) is done
    log = emulator.session(None).get(f"{emulator.proxy}/_emulator/requests").json()["requests"]
    assert (log[0]["method"], log[0]["status"]) == (CREATE, 0)


def test_an_answer_breaks_off(emulator: RunningEmulator) -> None:
    emulator.plan({"method": CREATE, "kind": "truncated"})
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        create(emulator)
    assert exists(emulator)


def test_an_answer_stalls_until_its_time_or_the_end_of_the_fault(emulator: RunningEmulator) -> None:
    emulator.plan({"method": CREATE, "kind": "stall", "seconds": 0.3})
    began = time.monotonic()
    assert create(emulator).status_code == 200
    assert time.monotonic() - began >= 0.3
    emulator.plan({"method": CREATE, "kind": "stall"})
    waiting = threading.Thread(target=create, args=(emulator, "y"))
    waiting.start()
    until(lambda: exists(emulator, "y"))
    assert waiting.is_alive()
    emulator.session(None).delete(f"{emulator.proxy}/_emulator/faults")
    waiting.join(10)
    assert not waiting.is_alive()


# What the work itself suffers ---------------------------------------------------------------------------------------------

REPOSITORIES = (
    f"https://artifactregistry.googleapis.com/v1/projects/{PROJECT}/locations/us-central1/repositories"
)
REPOSITORY_CREATE = "artifactregistry.projects.locations.repositories.create"


def operation(emulator: RunningEmulator, name: str) -> dict[str, Any]:
    found: dict[str, Any] = (
        emulator.session().get(f"https://artifactregistry.googleapis.com/v1/{name}").json()
    )
    return found


def test_an_operation_fails(emulator: RunningEmulator) -> None:
    emulator.plan({"method": REPOSITORY_CREATE, "kind": "operation_fails"})
    began = emulator.session().post(f"{REPOSITORIES}?repositoryId=r", json={"format": "DOCKER"}).json()
    until(lambda: bool(operation(emulator, began["name"]).get("done")))
    assert operation(emulator, began["name"])["error"] == {
        "code": 13,
        "message": "An internal error has occurred.",
    }


def test_an_operation_hangs_until_the_fault_is_removed(emulator: RunningEmulator) -> None:
    emulator.plan({"method": REPOSITORY_CREATE, "kind": "operation_hangs"})
    began = emulator.session().post(f"{REPOSITORIES}?repositoryId=r", json={"format": "DOCKER"}).json()
    time.sleep(0.2)  # ten times as long as operations take
    assert not operation(emulator, began["name"]).get("done")
    emulator.session(None).delete(f"{emulator.proxy}/_emulator/faults")
    until(lambda: bool(operation(emulator, began["name"]).get("done")))
    assert "error" not in operation(emulator, began["name"])


def test_a_failed_operation_of_cloud_sql_leaves_a_failed_instance(emulator: RunningEmulator) -> None:
    emulator.plan({"method": "sql.instances.insert", "kind": "operation_fails"})
    url = f"https://sqladmin.googleapis.com/v1/projects/{PROJECT}"
    body = {
        "name": "db",
        "region": "us-central1",
        "databaseVersion": "POSTGRES_17",
        "settings": {"tier": "db-f1-micro", "edition": "ENTERPRISE"},
    }
    session = emulator.session()
    began = session.post(f"{url}/instances", json=body)
    assert began.status_code == 200, began.text
    until(lambda: session.get(f"{url}/operations/{began.json()['name']}").json()["status"] == "DONE")
    ended = session.get(f"{url}/operations/{began.json()['name']}").json()
    assert ended["error"]["errors"][0]["message"] == "An internal error has occurred."
    assert session.get(f"{url}/instances/db").json()["state"] == "FAILED"


def test_each_service_learns_of_a_new_service_account_at_its_own_time(emulator: RunningEmulator) -> None:
    method = "iam.projects.serviceAccounts.create"
    emulator.plan(
        {"method": method, "kind": "unknown_account", "service": "iam", "seconds": 3600},
        {"method": method, "kind": "unknown_account", "service": "secretmanager", "seconds": 5},
    )
    session = emulator.session()
    accounts = f"https://iam.googleapis.com/v1/projects/{PROJECT}/serviceAccounts"
    email = session.post(accounts, json={"accountId": "new-one"}).json()["email"]
    policy = {"bindings": [{"role": "roles/secretmanager.viewer", "members": [f"serviceAccount:{email}"]}]}
    secret = create(emulator).json()["name"].rpartition("/")[2]
    refused = session.post(f"{SECRETS}/{secret}:setIamPolicy", json={"policy": policy})
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        400,
        f"Service account {email} does not exist.",
    )
    # However often it is asked meanwhile, and whoever else is.
    project = f"https://cloudresourcemanager.googleapis.com/v3/projects/{PROJECT}"
    policy_of_project = session.post(f"{project}:getIamPolicy").json()
    policy_of_project["bindings"] += policy["bindings"]
    granted = session.post(f"{project}:setIamPolicy", json={"policy": policy_of_project})
    assert granted.status_code == 200, granted.text
    until(
        lambda: session.post(f"{SECRETS}/{secret}:setIamPolicy", json={"policy": policy}).status_code == 200
    )
    assert session.get(f"{accounts}/{email}").status_code == 404


def test_each_service_learns_of_a_grant_at_its_own_time(emulator: RunningEmulator) -> None:
    create(emulator)
    user = "user:new@example.com"
    emulator.plan(
        {
            "method": "cloudresourcemanager.projects.setIamPolicy",
            "kind": "grant_pending",
            "service": "secretmanager",
            "seconds": 5,
        },
    )
    project = f"https://cloudresourcemanager.googleapis.com/v3/projects/{PROJECT}"
    policy = emulator.session().post(f"{project}:getIamPolicy").json()
    policy["bindings"].append({"role": "roles/viewer", "members": [user]})
    assert emulator.session().post(f"{project}:setIamPolicy", json={"policy": policy}).status_code == 200
    reader = emulator.session(user)
    assert reader.get(f"{SECRETS}/x").status_code == 403
    assert reader.get(f"https://storage.googleapis.com/storage/v1/b?project={PROJECT}").status_code == 200
    until(lambda: reader.get(f"{SECRETS}/x").status_code == 200)


def test_a_full_disk_stores_nothing_and_says_so(emulator: RunningEmulator) -> None:
    emulator.plan({"method": CREATE, "kind": "disk_full"})
    refused = create(emulator)
    assert refused.status_code == 500
    assert refused.json()["error"]["message"] == (
        "gcp-emulator: the disk that holds its state is full; make room and call again."
    )
    assert not exists(emulator)
    assert create(emulator).status_code == 200
