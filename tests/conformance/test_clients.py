"""Google's own libraries, unmodified: credentials of every kind, and the clients that talk JSON over HTTP."""

from __future__ import annotations

import base64
import datetime
from pathlib import Path
from typing import Any

import google.auth
import google.auth.impersonated_credentials
import google.auth.transport.requests
import pytest
from google.api_core.exceptions import Conflict, MethodNotImplemented, NotFound
from google.auth.exceptions import RefreshError
from google.cloud import logging, run_v2, secretmanager
from google.oauth2 import service_account

from emulator.tests.running import PROJECT
from tests.conformance.cloud import REGION, Cloud

SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
ACCOUNTS = f"iam.googleapis.com/v1/projects/{PROJECT}/serviceAccounts"
SECRETS = f"https://secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"


@pytest.fixture
def environment(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """The emulator, where the environment of this process points."""
    for name, value in cloud.variables.items():
        monkeypatch.setenv(name, value)
    return cloud


def account(cloud: Cloud, name: str) -> str:
    """The e-mail of a new service account."""
    return str(cloud.api(ACCOUNTS, method="POST", body={"accountId": name})["email"])


def key_file(cloud: Cloud, email: str, folder: Path) -> Path:
    """A key of the account in a file, as ``gcloud iam service-accounts keys create`` writes it."""
    made = cloud.api(f"{ACCOUNTS}/{email}/keys", method="POST", body={})
    file = folder / "key.json"
    file.write_bytes(base64.b64decode(made["privateKeyData"]))
    return file


def status(credentials: Any) -> int:
    """What a list of the secrets answers to these credentials."""
    session = google.auth.transport.requests.AuthorizedSession(credentials)
    return int(session.get(SECRETS).status_code)


def test_a_service_account_s_key(environment: Cloud, tmp_path: Path) -> None:
    email = account(environment, "keyed-one")
    file = key_file(environment, email, tmp_path)
    credentials = service_account.Credentials.from_service_account_file(str(file), scopes=SCOPES)
    assert status(credentials) == 403
    environment.running.grant(f"projects/{PROJECT}", "roles/secretmanager.viewer", f"serviceAccount:{email}")
    assert status(credentials) == 200


def test_application_default_credentials(environment: Cloud) -> None:
    credentials, project = google.auth.default(scopes=SCOPES)
    assert (project, status(credentials)) == (PROJECT, 200)


def test_impersonation_needs_the_token_creator_s_role(environment: Cloud, tmp_path: Path) -> None:
    caller, target = account(environment, "caller-one"), account(environment, "target-one")
    environment.running.grant(f"projects/{PROJECT}", "roles/secretmanager.viewer", f"serviceAccount:{target}")
    source = service_account.Credentials.from_service_account_file(
        str(key_file(environment, caller, tmp_path)), scopes=SCOPES
    )

    def impersonated() -> Any:
        return google.auth.impersonated_credentials.Credentials(source, target, SCOPES)

    with pytest.raises(RefreshError, match=r"iam\.serviceAccounts\.getAccessToken"):
        status(impersonated())
    environment.running.grant(
        f"projects/{PROJECT}/serviceAccounts/{target}",
        "roles/iam.serviceAccountTokenCreator",
        f"serviceAccount:{caller}",
    )
    assert status(impersonated()) == 200


def test_secret_manager(environment: Cloud) -> None:
    client = secretmanager.SecretManagerServiceClient(transport="rest")
    parent = f"projects/{PROJECT}"
    secret = client.create_secret(
        parent=parent, secret_id="client-token", secret={"replication": {"automatic": {}}}
    )
    assert secret.name == f"projects/{environment.number}/secrets/client-token"
    with pytest.raises(Conflict):
        client.create_secret(
            parent=parent, secret_id="client-token", secret={"replication": {"automatic": {}}}
        )
    version = client.add_secret_version(parent=secret.name, payload={"data": b"hush"})
    assert client.access_secret_version(name=version.name).payload.data == b"hush"
    assert secret.name in [one.name for one in client.list_secrets(parent=parent)]
    changed = client.update_secret(
        secret={"name": secret.name, "labels": {"a": "b"}}, update_mask={"paths": ["labels"]}
    )
    assert dict(changed.labels) == {"a": "b"}
    client.delete_secret(name=secret.name)
    with pytest.raises(NotFound):
        client.get_secret(name=secret.name)


def test_a_client_that_speaks_grpc_is_told_so_at_once(environment: Cloud) -> None:
    sentence = r"gcp-emulator does not speak gRPC, so secretmanager\.googleapis\.com was not asked.*transport=\"rest\""
    client = secretmanager.SecretManagerServiceClient()
    for _again in range(2):
        with pytest.raises(MethodNotImplemented, match=sentence):
            client.create_secret(parent=f"projects/{PROJECT}", secret_id="spoken", timeout=20)
    with pytest.raises(MethodNotImplemented, match="_use_grpc=False"):
        list(logging.Client(project=PROJECT).list_entries())


def test_cloud_run(environment: Cloud, image: str) -> None:
    parent = f"projects/{PROJECT}/locations/{REGION}"
    services = run_v2.ServicesClient(transport="rest")
    container = run_v2.Container(image=image, env=[run_v2.EnvVar(name="GREETING", value="client")])
    wanted = run_v2.Service(
        template=run_v2.RevisionTemplate(containers=[container]), invoker_iam_disabled=True
    )
    service = services.create_service(parent=parent, service=wanted, service_id="client-web").result(60)
    assert environment.running.session(None).get(service.uri).text == "client None"
    service.template.containers[0].env[0].value = "changed"
    service = services.update_service(service=service).result(60)
    assert environment.running.session(None).get(service.uri).text == "changed None"
    revisions = run_v2.RevisionsClient(transport="rest")
    assert len(list(revisions.list_revisions(parent=service.name))) == 2
    services.delete_service(name=service.name).result(60)

    jobs = run_v2.JobsClient(transport="rest")
    task = run_v2.TaskTemplate(containers=[run_v2.Container(image=image, args=["good", "0"])], max_retries=0)
    job = run_v2.Job(template=run_v2.ExecutionTemplate(template=task))
    job = jobs.create_job(parent=parent, job=job, job_id="client-job").result(60)
    execution = jobs.run_job(name=job.name).result(60)
    assert execution.succeeded_count == 1
    jobs.delete_job(name=job.name).result(60)


def test_logging(environment: Cloud) -> None:
    running = environment.running
    resource = {"type": "global", "labels": {"project_id": PROJECT}}
    for number in range(3):
        running.call(running.context.logs.write, PROJECT, "conformance", resource, f"line {number}")
    client = logging.Client(project=PROJECT, _use_grpc=False)
    found = client.list_entries(
        filter_=f'logName="projects/{PROJECT}/logs/conformance"', order_by=logging.DESCENDING, page_size=2
    )
    entries = list(found)
    assert [entry.payload for entry in entries] == ["line 2", "line 1", "line 0"]
    assert entries[0].timestamp <= datetime.datetime.now(datetime.UTC)
