"""Cloud Run's API and addresses on a running emulator, with real instances of a tiny application."""

from __future__ import annotations

import datetime
import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from gcp_emulator.engine import clock
from gcp_emulator.engine.identity import identity_of
from gcp_emulator.front.messages import Headers, Request
from gcp_emulator.services.oauth2.api import OAuth
from gcp_emulator.services.run.api import CloudRun
from gcp_emulator.services.run.names import condition
from gcp_emulator.services.run.ports import Invoker
from gcp_emulator.services.sqladmin.api import SqlAdmin
from gcp_emulator.workloads import autoscaler
from gcp_emulator.workloads.sandbox.bubblewrap import check_available
from gcp_emulator.workloads.sandbox.process import SandboxUnavailable

from emulator.tests.running import PROJECT, RunningEmulator
from emulator.tests.services.run.support import (
    IMAGE,
    PARENT,
    REGION,
    REPOSITORY,
    Client,
    add_image,
    add_repository,
    public,
    until,
)
from emulator.tests.workloads.apps import PYTHON, SERVE, SERVER

try:
    check_available()
except SandboxUnavailable as why:
    pytest.skip(str(why), allow_module_level=True)

APPLICATION = """
    class Handler(Handler):
        def answer(self):
            if self.path == "/slow":
                time.sleep(5)
            if self.path == "/crash":
                os._exit(1)
            if self.path == "/eat":
                eaten = bytearray(600 << 20)
                time.sleep(60)
            if self.path == "/print":
                print('{"severity": "WARNING", "message": "structured"}')
                print("plain", file=sys.stderr)
            if self.path == "/sql":
                import glob, socket
                path = (glob.glob("/cloudsql/*/.s.PGSQL.5432") or glob.glob("/cloudsql/*"))[0]
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.connect(path)
                    connection.recv(1)
                return {"sql": path}
            return {"env": dict(os.environ), "headers": dict(self.headers), "path": self.path, "pid": os.getpid()}
"""
JOB = """
    import os, sys, time
    print("task", os.environ["CLOUD_RUN_TASK_INDEX"], "of", os.environ["CLOUD_RUN_TASK_COUNT"], *sys.argv[1:])
    if os.environ.get("SLEEP"):
        time.sleep(60)
    failing = os.environ.get("FAIL", "")
    sys.exit(3 if failing == "always" or failing == os.environ["CLOUD_RUN_TASK_ATTEMPT"] else 0)
"""


def job(**changes: Any) -> Any:
    env = [{"name": name, "value": value} for name, value in changes.pop("env", {}).items()]
    execution = {
        key: changes.pop(key)
        for key in ("taskCount", "parallelism", "labels", "annotations")
        if key in changes
    }
    return {
        "template": {
            "template": {"containers": [{"image": f"{REPOSITORY}/job", "env": env}], **changes},
            **execution,
        }
    }


@pytest.fixture
def client(emulator: RunningEmulator) -> Client:
    """A client of an emulator whose registry holds three images."""
    client = Client(emulator)
    add_repository(client)
    add_image(client, "web:v1", SERVER, APPLICATION, SERVE)
    add_image(client, "web:broken", "print('no database'); raise SystemExit(1)")
    add_image(client, "job", JOB)
    return client


def logs(client: Client, log: str = "") -> list[Any]:
    entries = client.emulator.call(
        lambda: [entry for _, entry in client.emulator.context.logs.entries(PROJECT)]
    )
    return [entry for entry in entries if log in entry["logName"]]


# ------------------------------------------------------------------ services


def test_a_service_is_created_started_and_answers_at_both_addresses(client: Client) -> None:
    operation = client.create()
    service = operation["response"]
    assert service["@type"] == "type.googleapis.com/google.cloud.run.v2.Service"
    name = f"{PARENT}/services/web"
    assert re.fullmatch(rf"{name}/revisions/web-00001-[a-z]{{3}}", service["latestReadyRevision"])
    assert service["latestCreatedRevision"] == service["latestReadyRevision"]
    assert (service["generation"], service["observedGeneration"]) == ("1", "1")
    assert "reconciling" not in service
    assert service["terminalCondition"]["state"] == "CONDITION_SUCCEEDED"
    assert service["trafficStatuses"] == [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}]
    assert service["urls"][0] == f"https://web-{client.emulator.number}.us-central1.run.app"
    assert service["uri"] == service["urls"][1]
    for url in service["urls"]:
        answer = client.anonymous.get(url + "/a%2Fb?c=d").json()
        assert answer["path"] == "/a%2Fb?c=d"
    assert {key: value for key, value in client.get(name).items() if key != "@type"} == {
        key: value for key, value in service.items() if key != "@type"
    }


def test_the_application_sees_the_platforms_variables_and_headers(client: Client) -> None:
    service = client.create(public(env=[{"name": "COLOUR", "value": "blue"}]))["response"]
    answer = client.open().json()
    env, headers = answer["env"], answer["headers"]
    revision = service["latestReadyRevision"].rpartition("/")[2]
    assert (env["PORT"], env["K_SERVICE"], env["K_REVISION"], env["K_CONFIGURATION"]) == (
        "8080",
        "web",
        revision,
        "web",
    )
    assert env["COLOUR"] == "blue"
    assert headers["Host"] == f"web-{client.emulator.number}.us-central1.run.app"
    assert headers["X-Forwarded-Proto"] == "https"
    assert re.fullmatch(r"[0-9a-f]{32}/\d+", headers["X-Cloud-Trace-Context"])


@pytest.mark.parametrize("path", ["/healthz", "/health%7A", "/eventlog", "/_ah/start"])
def test_a_path_that_google_keeps_for_itself_reaches_no_service(client: Client, path: str) -> None:
    client.create()
    answer = client.open(path)
    assert answer.status_code == 404
    assert "<title>Error 404 (Not Found)!!1</title>" in answer.text
    assert client.open("/healthz/").status_code == client.open("/readyz").status_code == 200
    asked = [entry["httpRequest"]["requestUrl"] for entry in logs(client, "run.googleapis.com%2Frequests")]
    assert [url.rpartition(".run.app")[2] for url in asked] == ["/healthz/", "/readyz"]


def test_google_fills_in_the_template(client: Client) -> None:
    template = client.create()["response"]["template"]
    assert template == {
        "containers": [
            {
                "image": IMAGE,
                "resources": {"cpuIdle": True, "limits": {"cpu": "1000m", "memory": "512Mi"}},
                "ports": [{"name": "http1", "containerPort": 8080}],
                "startupProbe": {
                    "timeoutSeconds": 240, "periodSeconds": 240, "failureThreshold": 1, "tcpSocket": {"port": 8080},
                },
            }
        ],
        "serviceAccount": f"{client.emulator.number}-compute@developer.gserviceaccount.com",
        "timeout": "300s",
        "scaling": {"maxInstanceCount": 100},
        "executionEnvironment": "EXECUTION_ENVIRONMENT_GEN2",
        "maxInstanceRequestConcurrency": 80,
    }  # fmt: skip


def test_a_changed_template_makes_a_revision_and_other_changes_do_not(client: Client) -> None:
    first = client.create()["response"]
    labelled = client.patch({"labels": {"team": "a"}}, "labels")["response"]
    assert labelled["latestReadyRevision"] == first["latestReadyRevision"]
    assert (labelled["generation"], labelled["labels"]) == ("2", {"team": "a"})
    changed = client.patch(public(env=[{"name": "A", "value": "1"}]), "template")["response"]
    assert changed["latestReadyRevision"].rpartition("/")[2].startswith("web-00002-")
    assert client.open().json()["env"]["A"] == "1"
    revisions = client.get(f"{PARENT}/services/web/revisions")["revisions"]
    assert [r["name"] for r in revisions] == [changed["latestReadyRevision"], first["latestReadyRevision"]]
    assert re.fullmatch(rf"{REPOSITORY}/web@sha256:[0-9a-f]{{64}}", revisions[0]["containers"][0]["image"])
    assert (revisions[0]["service"], revisions[0]["conditions"][0]["state"]) == ("web", "CONDITION_SUCCEEDED")


def test_a_revision_that_does_not_start_gets_no_traffic_and_says_why(client: Client) -> None:
    good = client.create()["response"]["latestReadyRevision"]
    operation = client.patch(public(f"{REPOSITORY}/web:broken"), "template")
    service = client.get(f"{PARENT}/services/web")
    broken = service["latestCreatedRevision"].rpartition("/")[2]
    message = operation["error"]["message"]
    assert operation["error"]["code"] == 13
    assert message.startswith(
        f"Revision '{broken}' is not ready and cannot serve traffic. The user-provided container failed to start and listen "
        "on the port defined provided by the PORT=8080 environment variable within the allocated timeout. "
    )
    assert message.endswith("https://cloud.google.com/run/docs/troubleshooting#container-failed-to-start")
    condition = service["terminalCondition"]
    assert (condition["state"], condition["revisionReason"]) == (
        "CONDITION_FAILED",
        "HEALTH_CHECK_CONTAINER_ERROR",
    )
    assert service["latestReadyRevision"] == good
    assert client.open().json()["env"]["K_REVISION"] == good.rpartition("/")[2]
    said = [
        entry["textPayload"]
        for entry in logs(client)
        if entry["resource"]["labels"]["revision_name"] == broken
    ]
    assert said[:2] == ["no database", "Container called exit(1)."]


def test_a_first_revision_that_does_not_start_leaves_an_address_that_answers_404(client: Client) -> None:
    assert "error" in client.create(public(f"{REPOSITORY}/web:broken"))
    assert client.open().status_code == 404
    assert "latestReadyRevision" not in client.get(f"{PARENT}/services/web")


def test_a_missing_image_fails_the_revision(client: Client) -> None:
    operation = client.create(public(f"{REPOSITORY}/other:v1"))
    assert operation["error"]["message"].endswith(
        f"is not ready and cannot serve traffic. Image '{REPOSITORY}/other:v1' not found."
    )
    assert client.get(f"{PARENT}/services/web")["terminalCondition"]["reason"] == "CONTAINER_MISSING"


def test_traffic_is_split_by_percent_and_tags_have_addresses(client: Client) -> None:
    old = client.create()["response"]["latestReadyRevision"].rpartition("/")[2]
    service = public(env=[{"name": "NEW", "value": "yes"}])
    service["traffic"] = [
        {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": old, "percent": 100},
        {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "tag": "candidate"},
    ]
    updated = client.patch(service, "template,traffic")["response"]
    new = updated["latestReadyRevision"].rpartition("/")[2]
    assert {client.open().json()["env"]["K_REVISION"] for _ in range(5)} == {old}
    assert client.open(tag="candidate").json()["env"]["K_REVISION"] == new
    assert updated["trafficStatuses"][1]["uri"].startswith("https://candidate---web-")
    half = [
        {"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION", "revision": one, "percent": 50}
        for one in (old, new)
    ]
    client.patch({"traffic": half}, "traffic")
    assert {client.open().json()["env"]["K_REVISION"] for _ in range(40)} == {old, new}
    assert client.open(tag="candidate").status_code == 404


def test_a_visitor_stays_with_a_revision_that_says_so_while_it_has_traffic(client: Client) -> None:
    service = public()
    service["template"]["sessionAffinity"] = True
    old = client.create(service)["response"]["latestReadyRevision"].rpartition("/")[2]
    service["template"]["containers"][0]["env"] = [{"name": "NEW", "value": "yes"}]
    new = client.patch(service, "template")["response"]["latestReadyRevision"].rpartition("/")[2]

    def split(*shares: tuple[str, int]) -> None:
        kind = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
        client.patch(
            {"traffic": [{"type": kind, "revision": one, "percent": part} for one, part in shares]}, "traffic"
        )

    def visited(cookie: str = "") -> tuple[str, str]:
        """Which revision answers, and the cookie that it gives."""
        client.anonymous.cookies.clear()
        answer = client.open(headers={"Cookie": cookie} if cookie else {})
        return str(answer.json()["env"]["K_REVISION"]), answer.headers.get("Set-Cookie", "").partition(";")[0]

    split((old, 90), (new, 10))
    first = [visited() for _ in range(60)]
    visitors = {cookie: revision for revision, cookie in first}
    assert len(visitors) == len(first)
    assert set(visitors.values()) == {old, new}
    for cookie, revision in visitors.items():
        assert visited(f"other=1; {cookie}; last") == (revision, "")
    split((old, 40), (new, 60))
    moved = {cookie: visited(cookie)[0] for cookie in visitors}
    assert set(moved.values()) == {old, new}
    assert all(moved[cookie] == new for cookie, revision in visitors.items() if revision == new)
    split((new, 100))
    assert {visited(cookie)[0] for cookie in visitors} == {new}
    # What is no cookie of ours is none.
    assert visited("GAESA=x; GAESA")[1]


def test_a_private_service_needs_an_id_token_of_an_invoker(client: Client) -> None:
    service = public()
    del service["invokerIamDisabled"]
    client.create(service)
    refused = client.open("/x")
    assert refused.status_code == 403
    assert "Your client does not have permission to get URL <code>/x</code> from this server." in refused.text
    account = f"caller@{PROJECT}.iam.gserviceaccount.com"
    emulator = client.emulator
    audience = client.get(f"{PARENT}/services/web")["urls"][0]
    oauth = emulator.emulator.service(OAuth)
    emulator.run(_add_account(emulator, account))
    token = emulator.run(oauth.id_token(identity_of(account), audience))
    headers = {"Authorization": f"Bearer {token}"}
    assert client.open(headers=headers).status_code == 403
    emulator.grant(f"{PARENT}/services/web", "roles/run.invoker", f"serviceAccount:{account}")
    assert client.open(headers=headers).status_code == 200
    emulator.grant(f"{PARENT}/services/web", "roles/run.invoker", "allUsers")
    assert client.open().status_code == 200


def test_another_service_calls_a_private_one_as_an_account(client: Client) -> None:
    service = public()
    del service["invokerIamDisabled"]
    client.create(service)
    account, emulator = identity_of(f"caller@{PROJECT}.iam.gserviceaccount.com"), client.emulator
    emulator.run(_add_account(emulator, account.email))
    host = client.get(f"{PARENT}/services/web")["urls"][0].removeprefix("https://")
    invoker = emulator.call(emulator.context.ports.find, Invoker)

    def invoke(host: str, *caller: Any) -> int:
        async def call() -> int:
            request = Request("GET", "https", host, "/", "", Headers([]))
            response = await invoker.invoke(request, *caller)
            if not isinstance(response.body, bytes):
                async for _ in response.body:
                    pass
            return response.status

        return emulator.run(call())

    assert invoke(host, account) == 403
    emulator.grant(f"{PARENT}/services/web", "roles/run.invoker", account.member)
    assert (invoke(host, account), invoke(host), invoke(host, account, "https://other.example")) == (
        200,
        403,
        401,
    )
    assert invoke("none-1.us-central1.run.app", account) == 404


async def _add_account(emulator: RunningEmulator, email: str) -> None:
    emulator.context.store.collection("iam.serviceAccounts").put(
        email, {"email": email, "uniqueId": "1" * 21, "projectId": PROJECT}
    )


def test_a_request_over_the_timeout_gets_504(client: Client) -> None:
    client.create(public(timeout="1s"))
    answer = client.open("/slow")
    assert (answer.status_code, answer.text) == (504, "upstream request timeout")
    assert logs(client, "requests")[-1]["httpRequest"]["status"] == 504


def test_an_instance_with_too_much_memory_is_ended_with_its_requests(client: Client) -> None:
    client.create()

    answer = client.open("/eat")

    assert answer.status_code == 503
    said = [
        entry["textPayload"]
        for entry in logs(client, "varlog")
        if "Memory limit" in entry.get("textPayload", "")
    ]
    assert len(said) == 1
    assert re.fullmatch(
        r"Memory limit of 512 MiB exceeded with \d{3,4} MiB used\. Consider increasing the memory limit, see "
        r"https://cloud\.google\.com/run/docs/configuring/memory-limits",
        said[0],
    )
    assert client.open().status_code == 200


def test_an_instance_that_crashes_answers_503_and_the_next_request_starts_another(client: Client) -> None:
    client.create()
    pid = client.open().json()["pid"]
    assert isinstance(pid, int)
    answer = client.open("/crash")
    assert (answer.status_code, answer.text) == (503, "Service Unavailable")
    assert client.open().status_code == 200
    assert logs(client, "requests")[1]["textPayload"].startswith(
        "The request failed because either the HTTP response"
    )
    until(lambda: "Container called exit(1)." in [entry["textPayload"] for entry in logs(client, "varlog")])


def test_a_revision_that_a_fault_lets_crash_serves_again_when_the_fault_is_removed(client: Client) -> None:
    method = "run.projects.locations.services.create"
    client.emulator.plan({"method": method, "kind": "revision_crashes", "calls": 2})
    client.create()
    assert [client.open().status_code for _ in range(4)] == [200, 200, 503, 503]
    faults = f"{client.emulator.proxy}/_emulator/faults"
    assert client.emulator.session(None).delete(faults).status_code == 200
    assert client.open().status_code == 200


def test_what_the_application_prints_is_logged_with_its_revision(client: Client) -> None:
    service = client.create()["response"]
    client.open("/print")
    until(lambda: len(logs(client, "stderr")) > 0)
    entry = logs(client, "stdout")[0]
    assert (entry["textPayload"], entry["severity"]) == ("structured", "WARNING")
    assert entry["resource"] == {
        "type": "cloud_run_revision",
        "labels": {
            "project_id": PROJECT, "location": REGION, "service_name": "web", "configuration_name": "web",
            "revision_name": service["latestReadyRevision"].rpartition("/")[2],
        },
    }  # fmt: skip
    assert logs(client, "stderr")[0]["textPayload"] == "plain"


def secret(client: Client, value: str, name: str = "key") -> None:
    base = f"https://secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"
    client.session.post(base, params={"secretId": name}, json={"replication": {"automatic": {}}})
    payload = {"payload": {"data": value}}
    assert client.session.post(f"{base}/{name}:addVersion", json=payload).status_code == 200


def reference(version: str = "1") -> Any:
    return [{"name": "KEY", "valueSource": {"secretKeyRef": {"secret": "key", "version": version}}}]


def test_secrets_are_read_as_the_service_account_at_the_pinned_version(client: Client) -> None:
    secret(client, "b25l")
    account = f"{client.emulator.number}-compute@developer.gserviceaccount.com"
    refused = client.create(public(env=reference()))
    revision = client.get(f"{PARENT}/services/web")["latestCreatedRevision"].rpartition("/")[2]
    assert refused["error"]["message"] == (
        f"Revision '{revision}' is not ready and cannot serve traffic. "
        "spec.template.spec.containers[0].env[0].value_from.secret_key_ref.name: Permission denied on secret: "
        f"projects/{client.emulator.number}/secrets/key/versions/1 for Revision service account {account}. The service account "
        "used must be granted the 'Secret Manager Secret Accessor' role (roles/secretmanager.secretAccessor) at the secret, "
        "project or higher level."
    )
    assert (
        client.get(f"{PARENT}/services/web")["terminalCondition"]["reason"] == "SECRETS_ACCESS_CHECK_FAILED"
    )
    client.emulator.grant(
        f"projects/{PROJECT}/secrets/key", "roles/secretmanager.secretAccessor", f"serviceAccount:{account}"
    )
    secret(client, "dHdv")
    client.patch(public(env=reference(), labels={"try": "2"}), "template")
    assert client.open().json()["env"]["KEY"] == "one"
    gone = client.patch(public(env=reference("3")), "template")
    assert gone["error"]["message"].endswith(
        f"Secret projects/{client.emulator.number}/secrets/key/versions/3 was not found."
    )


def test_a_revision_goes_on_when_its_image_is_deleted_from_the_registry(client: Client) -> None:
    service = client.create()["response"]
    digest = client.get(service["latestReadyRevision"])["containers"][0]["image"].partition("@")[2]
    version = f"https://artifactregistry.googleapis.com/v1/{PARENT}/repositories/djangogcp/packages/web/versions/{digest}"
    assert client.session.delete(version, params={"force": "true"}).status_code == 200
    client.open("/crash")
    assert client.open().status_code == 200


@pytest.mark.parametrize(("version", "file"), [("POSTGRES_15", "/.s.PGSQL.5432"), ("MYSQL_5_7", "")])
def test_the_cloud_sql_socket_is_opened_as_the_service_account(
    client: Client, monkeypatch: pytest.MonkeyPatch, version: str, file: str
) -> None:
    asked: list[Any] = []

    async def connect_instance(connection: str, identity: Any, network: Any, reader: Any, writer: Any) -> str:
        asked.append((connection, identity.email, network))
        writer.close()
        return "refused for a reason"

    sql = client.emulator.emulator.service(SqlAdmin)
    monkeypatch.setattr(sql.connect, "connect_instance", connect_instance)
    connection = f"{PROJECT}:{REGION}:db"
    if version != "POSTGRES_15":
        monkeypatch.setattr(sql.connect, "_records", {f"{PROJECT}/db": {"databaseVersion": version}})
    volumes = [{"name": "sql", "cloudSqlInstance": {"instances": [connection]}}]
    client.create(
        public(
            container={"volumeMounts": [{"name": "sql", "mountPath": "/cloudsql"}]},
            volumes=volumes,
            vpcAccess={"networkInterfaces": [{"network": "default"}]},
        )
    )
    assert client.open("/sql").json()["sql"] == f"/cloudsql/{connection}{file}"
    account = f"{client.emulator.number}-compute@developer.gserviceaccount.com"
    assert asked == [(connection, account, f"projects/{PROJECT}/global/networks/default")]
    until(lambda: "refused for a reason" in [entry.get("textPayload") for entry in logs(client, "varlog")])


def test_a_stale_etag_conflicts(client: Client) -> None:
    service = client.create()["response"]
    client.patch({"labels": {"a": "b"}}, "labels")
    answer = client.call(
        "PATCH", f"{PARENT}/services/web", {"etag": service["etag"], "labels": {}}, updateMask="labels"
    )
    current = client.get(f"{PARENT}/services/web")["etag"]
    assert answer.status_code == 409
    assert answer.json()["error"]["message"] == (
        f"Conflict for resource 'web': version '{service['etag']}' was specified but current version is '{current}'."
    )


def test_validate_only_changes_nothing(client: Client) -> None:
    answer = client.call("POST", f"{PARENT}/services", public(), serviceId="web", validateOnly="true").json()
    assert answer["done"] is True
    assert client.call("GET", f"{PARENT}/services/web").status_code == 404


def test_that_people_may_log_in_is_kept(client: Client) -> None:
    client.done(client.call("POST", f"{PARENT}/services", {**public(), "sshEnabled": True}, serviceId="web"))
    assert client.get(f"{PARENT}/services/web")["sshEnabled"] is True


def test_patch_with_allow_missing_creates(client: Client) -> None:
    missing = client.call("PATCH", f"{PARENT}/services/web", public())
    assert missing.status_code == 404
    operation = client.done(client.call("PATCH", f"{PARENT}/services/web", public(), allowMissing="true"))
    assert operation["response"]["generation"] == "1"


def test_a_deleted_service_is_gone_with_its_revisions_and_address(client: Client) -> None:
    client.create()
    operation = client.done(client.call("DELETE", f"{PARENT}/services/web"))
    assert "deleteTime" in operation["response"]
    assert client.get(f"{PARENT}/services") == {}
    assert client.call("GET", f"{PARENT}/services/web").status_code == 404
    assert client.open().status_code == 404


def test_a_revision_can_be_deleted_when_nothing_uses_it(client: Client) -> None:
    old = client.create()["response"]["latestReadyRevision"]
    assert client.call("DELETE", old).json()["error"]["status"] == "FAILED_PRECONDITION"
    client.patch(public(env=[{"name": "A", "value": "1"}]), "template")
    client.done(client.call("DELETE", old))
    assert client.call("GET", old).status_code == 404


def test_a_service_survives_a_restart_of_the_emulator(client: Client, tmp_path: Path) -> None:
    service = client.create()["response"]
    client.emulator.stop()
    again = RunningEmulator(tmp_path / "state")
    try:
        second = Client(again)
        assert second.get(f"{PARENT}/services/web") == {k: v for k, v in service.items() if k != "@type"}
        assert second.open().json()["env"]["K_SERVICE"] == "web"
    finally:
        again.stop()


def test_the_deployer_must_act_as_the_service_account_and_read_the_image(client: Client) -> None:
    emulator = client.emulator
    account = f"web@{PROJECT}.iam.gserviceaccount.com"
    deployer = Client(emulator, "user:deployer@example.com")
    emulator.grant(f"projects/{PROJECT}", "roles/run.developer", "user:deployer@example.com")
    body = public(serviceAccount=account)
    for _ in range(2):  # an account that is not there, then one that the deployer may not use: the same words
        answer = deployer.call("POST", f"{PARENT}/services", body, serviceId="web")
        assert answer.status_code == 403
        assert answer.json()["error"]["message"] == (
            f"Permission 'iam.serviceaccounts.actAs' denied on service account {account} (or it may not exist)."
        )
        emulator.run(_add_account(emulator, account))
    emulator.grant(
        f"projects/{PROJECT}/serviceAccounts/{account}",
        "roles/iam.serviceAccountUser",
        "user:deployer@example.com",
    )
    answer = deployer.call("POST", f"{PARENT}/services", body, serviceId="web")
    assert "artifactregistry.repositories.downloadArtifacts" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("service", "message"),
    [
        (
            public(env=[{"name": "PORT", "value": "80"}, {"name": "K_SERVICE", "value": "x"}]),
            "template.containers[0].env: The following reserved env names were provided: PORT, K_SERVICE. These values are "
            "automatically set by the system.",
        ),
        (
            public(
                container={
                    "startupProbe": {"periodSeconds": 100, "failureThreshold": 3, "httpGet": {"path": "/"}}
                }
            ),
            "template.containers[0].startup_probe: failure_threshold * period_seconds must not be greater than 240 seconds; "
            "got 3 * 100.",
        ),
        (
            {**public(), "labels": {"run.googleapis.com/x": "y"}},
            "Violation in labels: 'run.googleapis.com/x' is in a namespace that the Cloud Run API v2 does not support; use the "
            "corresponding field.",
        ),
        (
            {**public(), "traffic": [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 90}]},
            "traffic: The sum of traffic percents must be 100; got 90.",
        ),
        (
            public(container={"resources": {"limits": {"cpu": "3", "memory": "512Mi"}}}),
            "template.containers[0].resources.limits.cpu: Invalid value specified for cpu. The following values are supported: "
            "at least 0.08 and less than 1, or one of 1, 2, 4, 6 and 8; got '3'.",
        ),
        (
            public(container={"readinessProbe": {"httpGet": {"path": "/"}}}),
            "gcp-emulator does not emulate template.containers[0].readinessProbe of Cloud Run; nothing was done.",
        ),
    ],
)
def test_bad_services_are_refused_before_anything_changes(client: Client, service: Any, message: str) -> None:
    answer = client.call("POST", f"{PARENT}/services", service, serviceId="web")
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, message)
    assert client.get(f"{PARENT}/services") == {}


def test_an_unknown_region_is_refused(client: Client) -> None:
    answer = client.call("POST", f"projects/{PROJECT}/locations/mars-1/services", public(), serviceId="web")
    assert answer.status_code == 403
    assert (
        answer.json()["error"]["message"] == "Permission denied on 'locations/mars-1' (or it may not exist)."
    )


# ------------------------------------------------------------------ jobs


def test_a_job_runs_its_tasks_and_logs_what_they_print(client: Client) -> None:
    created = client.create_job(job(taskCount=2))["response"]
    assert created["template"]["template"]["maxRetries"] == 3
    operation = client.run()
    execution = operation["response"]
    assert re.fullmatch(rf"{PARENT}/jobs/migrate/executions/migrate-[a-z]{{5}}", execution["name"])
    assert execution["succeededCount"] == 2
    assert not {"failedCount", "runningCount"} & set(execution)
    assert execution["conditions"][0]["state"] == "CONDITION_SUCCEEDED"
    assert sorted(entry["textPayload"] for entry in logs(client, "stdout")) == ["task 0 of 2", "task 1 of 2"]
    entry = logs(client, "stdout")[0]
    assert entry["resource"]["type"] == "cloud_run_job"
    assert entry["labels"]["run.googleapis.com/execution_name"] == execution["name"].rpartition("/")[2]
    tasks = client.get(f"{execution['name']}/tasks")["tasks"]
    assert [(task.get("index", 0), task["lastAttemptResult"]) for task in tasks] == [(0, {}), (1, {})]
    found = client.get(f"{PARENT}/jobs/migrate")
    assert (found["executionCount"], found["latestCreatedExecution"]["completionStatus"]) == (
        1,
        "EXECUTION_SUCCEEDED",
    )


def test_a_failing_task_is_retried_and_its_exit_code_kept(client: Client) -> None:
    client.create_job(job(env={"FAIL": "always"}, maxRetries=1))
    execution = client.run()["response"]
    short = execution["name"].rpartition("/")[2]
    assert (execution["failedCount"], execution["retriedCount"]) == (1, 1)
    assert execution["conditions"][0]["message"] == (
        f"Task {short}-task0 failed with message: The container exited with an error."
    )
    assert execution["conditions"][0]["executionReason"] == "NON_ZERO_EXIT_CODE"
    task = client.get(f"{execution['name']}/tasks")["tasks"][0]
    assert task["lastAttemptResult"]["exitCode"] == 3
    assert [entry["textPayload"] for entry in logs(client, "varlog")] == ["Container called exit(3)."] * 2


def test_what_a_task_prints_may_reach_the_log_later_and_in_another_order(client: Client) -> None:
    client.create_job(job(taskCount=5))
    fault = {"method": "run.projects.locations.jobs.run", "kind": "logs_late", "seconds": 1.5, "seed": 3}
    client.emulator.plan(fault)
    client.run()
    seen: list[list[str]] = []

    def all_is_there() -> bool:
        texts = [entry["textPayload"] for entry in logs(client)]
        if not seen or seen[-1] != texts:
            seen.append(texts)
        return len(texts) == 10

    until(all_is_there)
    # Something came between what was there already.
    assert any(now[: len(before)] != before for before, now in itertools.pairwise(seen))
    lags = [
        clock.parse_timestamp(entry["receiveTimestamp"]) - clock.parse_timestamp(entry["timestamp"])
        for entry in logs(client)
    ]
    assert max(lags) > datetime.timedelta(seconds=0.5)


def test_a_retry_can_succeed(client: Client) -> None:
    client.create_job(job(env={"FAIL": "0"}))
    execution = client.run()["response"]
    assert (execution["succeededCount"], execution["retriedCount"]) == (1, 1)


def test_a_task_over_its_timeout_fails(client: Client) -> None:
    client.create_job(job(env={"SLEEP": "1"}, maxRetries=0, timeout="1s"))
    execution = client.run()["response"]
    assert execution["conditions"][0]["message"].endswith(
        "failed with message: The configured timeout was reached."
    )


def test_a_run_may_override_arguments_and_variables(client: Client) -> None:
    client.create_job(job(env={"FAIL": "always"}))
    arguments = [PYTHON, "main.py", "--plan"]
    overrides = {"containerOverrides": [{"args": arguments, "env": [{"name": "FAIL", "value": ""}]}]}
    execution = client.run({"overrides": overrides})["response"]
    assert execution["succeededCount"] == 1
    assert logs(client, "stdout")[0]["textPayload"] == "task 0 of 1 --plan"
    executor = Client(client.emulator, "user:executor@example.com")
    client.emulator.grant(f"{PARENT}/jobs/migrate", "roles/run.jobsExecutor", "user:executor@example.com")
    refused = executor.call("POST", f"{PARENT}/jobs/migrate:run", {"overrides": overrides})
    assert "'run.jobs.runWithOverrides' denied" in refused.json()["error"]["message"]


def test_an_execution_has_the_labels_and_annotations_of_the_template_alone(client: Client) -> None:
    body = {**job(labels={"team": "a"}, annotations={"note": "b"}), "labels": {"cost": "c"}}
    client.create_job(body)
    execution = client.run()["response"]
    assert (execution["labels"], execution["annotations"]) == ({"team": "a"}, {"note": "b"})
    task = client.get(f"{execution['name']}/tasks")["tasks"][0]
    assert (task["labels"], task["annotations"]) == ({"team": "a"}, {"note": "b"})


def test_an_execution_without_access_to_its_secret_does_not_start(client: Client) -> None:
    secret(client, "b25l")
    account = f"serviceAccount:{client.emulator.number}-compute@developer.gserviceaccount.com"
    resource = f"projects/{PROJECT}/secrets/key"
    client.emulator.grant(resource, "roles/secretmanager.secretAccessor", account)
    body = job()
    body["template"]["template"]["containers"][0]["env"] = reference()
    client.create_job(body)
    policy = f"https://secretmanager.googleapis.com/v1/{resource}:setIamPolicy"
    assert client.session.post(policy, json={"policy": {}}).status_code == 200
    execution = client.run()["response"]
    conditions = {one["type"]: one for one in execution["conditions"]}
    assert "Permission denied on secret: " in conditions["Completed"]["message"]
    assert conditions["ResourcesAvailable"]["reason"] == "SECRETS_ACCESS_CHECK_FAILED"
    assert conditions["Started"]["state"] == "CONDITION_PENDING"
    assert "startTime" not in execution
    assert not {"failedCount", "runningCount"} & set(execution)
    newest = client.get(f"{PARENT}/jobs/migrate")["latestCreatedExecution"]
    assert newest["completionStatus"] == "EXECUTION_FAILED"


def test_an_execution_can_be_cancelled(client: Client) -> None:
    client.create_job(job(env={"SLEEP": "1"}))
    started = client.call("POST", f"{PARENT}/jobs/migrate:run", {}).json()
    name = started["metadata"]["name"]
    until(lambda: len(logs(client, "stdout")) > 0)
    cancelled = client.done(client.call("POST", f"{name}:cancel", {}))["response"]
    assert (cancelled["cancelledCount"], cancelled["conditions"][0]["executionReason"]) == (1, "CANCELLED")
    client.done(client.call("DELETE", name))
    assert client.call("GET", name).status_code == 404


def test_a_job_with_a_missing_image_is_not_ready_and_cannot_run(client: Client) -> None:
    body = job()
    body["template"]["template"]["containers"][0]["image"] = f"{REPOSITORY}/none"
    operation = client.create_job(body)
    assert operation["error"]["message"] == f"Image '{REPOSITORY}/none' not found."
    assert client.get(f"{PARENT}/jobs/migrate")["terminalCondition"]["reason"] == "CONTAINER_MISSING"
    answer = client.call("POST", f"{PARENT}/jobs/migrate:run", {})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == (
        f"Job 'migrate' is not ready to be run: Image '{REPOSITORY}/none' not found."
    )


def test_a_job_can_be_changed_and_deleted(client: Client) -> None:
    client.create_job(job())
    changed = client.done(client.call("PATCH", f"{PARENT}/jobs/migrate", job(maxRetries=0)))["response"]
    assert (changed["generation"], changed["template"]["template"]["maxRetries"]) == ("2", 0)
    client.done(client.call("DELETE", f"{PARENT}/jobs/migrate"))
    assert client.get(f"{PARENT}/jobs") == {}


def test_minimum_instances_run_and_idle_ones_stop(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoscaler, "IDLE_SECONDS", 0.1)
    run = client.emulator.emulator.service(CloudRun)

    def instances() -> int:
        return sum(len(pool.instances) for pool in run.services._pools.values())

    client.create()
    until(lambda: instances() == 0)
    assert client.open().status_code == 200  # a cold start
    client.patch({"scaling": {"minInstanceCount": 2}}, "scaling")
    until(lambda: instances() == 2)
    client.patch({"scaling": {}}, "scaling")
    until(lambda: instances() == 0)


def test_a_rollout_that_the_emulator_was_stopped_in_goes_on(client: Client, tmp_path: Path) -> None:
    """What a killed emulator leaves: a revision that was declared and never tried."""
    service = client.create()["response"]
    run = client.emulator.emulator.service(CloudRun)
    name, revision = f"{PARENT}/services/web", service["latestReadyRevision"]

    def forget() -> None:
        for collection, key in ((run.services.declared, name), (run.services.revisions, revision)):
            record = collection.get(key)
            assert record
            record["status"] |= {"reconciling": True, "conditions": [condition("Ready", "RECONCILING")]}
            record["status"].pop("latestReadyRevision", None)
            collection.put(key, record)

    client.emulator.call(forget)
    client.emulator.stop()
    again = RunningEmulator(tmp_path / "state")
    try:
        second = Client(again)
        until(lambda: not second.get(name).get("reconciling"))
        assert second.get(name)["latestReadyRevision"] == revision
        assert second.open().status_code == 200
    finally:
        again.stop()
