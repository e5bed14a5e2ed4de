"""What holds for every module: options that are missing, a project without APIs, a caller without roles, no secrets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cloud import BARE_PROJECT, NOBODY, OWNER, PROJECT, REGION, Cloud

COLLECTION = Path(__file__).resolve().parents[2] / "collections/ansible_collections/org/djangogcp"
#: What calls nobody is an action plugin only.
MODULES = sorted(
    path.stem
    for path in (COLLECTION / "plugins" / "modules").glob("*.py")
    if path.stem not in ("adopt", "source_archive", "summary")
)
IMAGE = f"{REGION}-docker.pkg.dev/{PROJECT}/djangogcp/app"
STATEMENT = {"name": "create it", "check": "SELECT 1 WHERE false", "statement": "SELECT 2"}

#: For each module the message about what is missing when it gets no options.
MISSING = {
    "artifactregistry_image_retention": "missing required arguments: image, older_than_days, used",
    "artifactregistry_repository": "missing required arguments: location, name",
    "artifactregistry_repository_info": "missing required arguments: location",
    "certificates_info": "missing required arguments: hosts",
    "cloudbuild_build": "missing required arguments: image, location",
    "compute_address": "missing required arguments: name",
    "compute_firewall": "missing required arguments: name",
    "compute_instance": "missing required arguments: name, zone",
    "compute_instance_info": "missing required arguments: zone",
    "compute_network": "missing required arguments: name",
    "compute_network_info": "missing required arguments: network, region",
    "compute_router": "missing required arguments: name, region",
    "compute_subnetwork": "missing required arguments: name, region",
    "failures_info": "missing required arguments: location",
    "iam_members": "missing required arguments: members",
    "logging_entries_info": "missing required arguments: filter",
    "oslogin_ssh_key": "missing required arguments: key",
    "ownership_info": "missing required arguments: resources",
    "serviceusage_services": "missing required arguments: services",
    "read_ahead": "missing required arguments: resources",
    "release_parts_info": "missing required arguments: releases",
    "run_canary": "missing required arguments: candidate_tag, location, name",
    "run_job_execution": "missing required arguments: job, location",
    "run_job_execution_info": "missing required arguments: job, location",
    "run_jobs": "missing required arguments: jobs, location",
    "run_jobs_info": "missing required arguments: location",
    "run_revision_retention": "missing required arguments: location, older_than_days",
    "run_service": "missing required arguments: location, name",
    "run_service_info": "missing required arguments: location, name",
    "run_worker_pool": "missing required arguments: location, name",
    "run_worker_pools_info": "missing required arguments: location",
    "secretmanager_secrets": "missing required arguments: secrets",
    "iam_service_accounts": "missing required arguments: service_accounts",
    "smoke_test": "missing required arguments: checks, url",
    "sql_backup_run": "missing required arguments: instance",
    "sql_database": "missing required arguments: instance, name",
    "sql_database_copy": "missing required arguments: bucket, import_user, instance, source, target",
    "sql_database_info": "missing required arguments: instance",
    "sql_instance": "missing required arguments: name",
    "sql_statements": "missing required arguments: database, instance, statements",
    "sql_users": "missing required arguments: instance, users",
    "sql_users_info": "missing required arguments: instance",
    "storage_buckets": "missing required arguments: buckets",
    "storage_static_retention": "missing required arguments: bucket, kept, older_than_days",
    "storage_lock": "missing required arguments: bucket",
    "storage_record": "missing required arguments: bucket",
    "storage_records_info": "missing required arguments: bucket",
}
#: They tell of the project, or of all that it has.
WITHOUT_REQUIRED = (
    "resourcemanager_project_info",
    "secretmanager_secrets_info",
    "iam_service_accounts_info",
    "sql_instance_info",
    "storage_buckets_info",
)
#: For each module options with which it would change something, or read something that is not there.
OPTIONS: dict[str, dict[str, Any]] = {
    "artifactregistry_image_retention": {"image": IMAGE, "used": [], "older_than_days": 0},
    "artifactregistry_repository": {"name": "absent", "location": REGION},
    "artifactregistry_repository_info": {"location": REGION},
    "certificates_info": {"hosts": ["absent.invalid"]},
    "cloudbuild_build": {
        "image": IMAGE,
        "location": REGION,
        "source_dir": "",
        "source_bucket": "absent-source",
        "service_account": f"builder@{PROJECT}.iam.gserviceaccount.com",
    },
    "compute_address": {"name": "absent", "region": REGION},
    "compute_firewall": {
        "name": "absent",
        "network": "absent",
        "allowed": [{"ip_protocol": "tcp"}],
        "source_ranges": ["10.0.0.0/8"],
    },
    "compute_instance": {
        "name": "absent",
        "zone": f"{REGION}-a",
        "machine_type": "e2-small",
        "boot_image": "projects/debian-cloud/global/images/family/debian-12",
        "subnetwork": f"projects/{PROJECT}/regions/{REGION}/subnetworks/default",
        "service_accounts": [{"email": f"web@{PROJECT}.iam.gserviceaccount.com"}],
    },
    "compute_instance_info": {"zone": f"{REGION}-a"},
    "compute_network": {"name": "absent"},
    "compute_network_info": {"network": "absent", "region": REGION},
    "compute_router": {
        "name": "absent",
        "region": REGION,
        "network": "absent",
        "nats": [{"name": "absent"}],
    },
    "compute_subnetwork": {
        "name": "absent",
        "region": REGION,
        "network": "absent",
        "ip_cidr_range": "10.30.0.0/24",
    },
    "failures_info": {"location": REGION, "service": "absent"},
    "iam_members": {
        "members": [
            {"role": "roles/run.invoker", "members": ["user:a@example.com"]},
            {
                "resource_type": "secret",
                "resource": "absent",
                "role": "roles/viewer",
                "members": ["user:a@example.com"],
            },
        ]
    },
    "logging_entries_info": {"filter": "severity>=ERROR"},
    "oslogin_ssh_key": {
        "key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKb6dMYbUqcDbI6JjRGJ5mSzsm6c8hAxUVA5Z1tRrmT1"
    },
    "ownership_info": {"resources": [{"type": "secret", "name": "absent", "mark": {}}]},
    "read_ahead": {"resources": [{"type": "secret", "name": "absent"}]},
    "release_parts_info": {
        "releases": [{"number": 7, "image": f"{IMAGE}@sha256:{'0' * 64}", "secret_versions": {"absent": "1"}}]
    },
    "resourcemanager_project_info": {},
    "serviceusage_services": {"services": ["run.googleapis.com", "sqladmin.googleapis.com"]},
    "run_canary": {"name": "absent", "location": REGION, "candidate_tag": "candidate"},
    "run_job_execution": {"job": "absent", "location": REGION, "once": True},
    "run_job_execution_info": {"job": "absent", "location": REGION},
    "run_jobs": {
        "location": REGION,
        "jobs": [{"name": "absent", "template": {"template": {"containers": [{"image": IMAGE}]}}}],
    },
    "run_jobs_info": {"location": REGION},
    "run_worker_pools_info": {"location": REGION},
    "run_revision_retention": {"location": REGION, "services": ["absent"], "older_than_days": 0},
    "run_service": {"name": "absent", "location": REGION, "template": {"containers": [{"image": IMAGE}]}},
    "run_service_info": {"name": "absent", "location": REGION},
    "run_worker_pool": {
        "name": "absent",
        "location": REGION,
        "template": {"containers": [{"image": IMAGE}]},
    },
    "secretmanager_secrets": {"secrets": [{"name": "absent", "generate": {}}]},
    "secretmanager_secrets_info": {},
    "iam_service_accounts": {"service_accounts": [{"name": "absent-account"}]},
    "iam_service_accounts_info": {},
    "smoke_test": {
        "url": "https://absent.example.com",
        "checks": [{"path": "/"}],
        "service_account": f"absent@{PROJECT}.iam.gserviceaccount.com",
        "audience": "https://absent.example.com",
        "wait_timeout": 0,
    },
    "sql_backup_run": {"instance": "absent"},
    "sql_database": {"name": "absent", "instance": "absent", "mark": {}, "claim_secret": "absent"},
    "sql_database_copy": {
        "instance": "absent",
        "source": "absent",
        "target": "other",
        "import_user": "absent",
        "bucket": "absent-copies",
    },
    "sql_database_info": {"instance": "absent"},
    "sql_instance": {
        "name": "absent",
        "region": REGION,
        "database_version": "POSTGRES_17",
        "tier": "db-f1-micro",
    },
    "sql_instance_info": {},
    "sql_statements": {"instance": "absent", "database": "absent", "statements": [STATEMENT]},
    "sql_users": {
        "instance": "absent",
        "users": [{"name": "absent", "password_secret": "absent"}],
        "mark": {},
        "claim_secret": "absent",
    },
    "sql_users_info": {"instance": "absent"},
    "storage_buckets": {"buckets": [{"name": "djangogcp-absent-bucket", "location": REGION}]},
    "storage_buckets_info": {},
    "storage_static_retention": {"bucket": "absent-static", "kept": [], "older_than_days": 0},
    "storage_lock": {"bucket": "absent-releases", "owner": OWNER, "reason": "a deploy"},
    "storage_record": {"bucket": "absent-releases", "content": {"who": OWNER}},
    "storage_records_info": {"bucket": "absent-releases"},
}
#: What they look at is in a bucket that has to be there.
IN_A_BUCKET = ("storage_lock", "storage_record", "storage_records_info", "storage_static_retention")
#: The first asks nobody of Google's, the second says what it could not read and goes on, and the third is about who calls, who may that.
NEVER_REFUSED = ("certificates_info", "failures_info", "oslogin_ssh_key")
CHANGING = [
    name
    for name in MODULES
    if name not in ("cloudbuild_build", "read_ahead", "run_canary", "smoke_test")
    # Where nothing is, nothing goes.
    and not name.endswith(("_info", "_retention"))
]


def options(module: str, source: Path) -> dict[str, Any]:
    asked = dict(OPTIONS[module])
    if module == "cloudbuild_build":
        asked["source_dir"] = str(source)
    return asked


def test_the_tables_of_this_file_name_every_module() -> None:
    assert sorted(OPTIONS) == MODULES
    assert sorted({*MISSING, *WITHOUT_REQUIRED}) == MODULES


@pytest.mark.parametrize("module", MISSING)
def test_missing_options_are_named(cloud: Cloud, module: str) -> None:
    assert cloud.error(module) == MISSING[module]


@pytest.mark.parametrize("module", MODULES)
def test_a_missing_project_is_named(
    cloud: Cloud, app_source: Path, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GCP_PROJECT", "GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT", "GCE_PROJECT"):
        monkeypatch.setenv(name, "")
    assert cloud.error(module, **options(module, app_source)) == "missing required arguments: project"


@pytest.mark.parametrize("module", MODULES)
def test_an_empty_project_is_refused(cloud: Cloud, app_source: Path, module: str) -> None:
    assert cloud.error(module, project="", **options(module, app_source)) == (
        "project is empty. Set the option project, or GCP_PROJECT or GOOGLE_CLOUD_PROJECT."
    )


def test_an_empty_variable_is_no_project(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GCP_PROJECT", "")
    assert cloud.ok("resourcemanager_project_info")["project"]["project_id"] == PROJECT


@pytest.mark.parametrize("module", [*CHANGING, "cloudbuild_build"])
def test_check_mode_completes_in_a_project_where_no_api_is_enabled(
    cloud: Cloud, app_source: Path, module: str
) -> None:
    before = cloud.resources()
    asked = options(module, app_source)
    if module == "cloudbuild_build":
        asked["image"] = IMAGE.replace(PROJECT, BARE_PROJECT)
    result = cloud.ok(module, check=True, project=BARE_PROJECT, **asked)
    assert result["changed"] is True
    assert cloud.resources() == before


# What reads ahead leaves it to the module that needs an answer to tell what is missing, and what is in a bucket needs one (test_storage_lock.py).
@pytest.mark.parametrize(
    "module", [name for name in MODULES if name not in ("read_ahead", *IN_A_BUCKET, *NEVER_REFUSED)]
)
def test_a_caller_without_roles_learns_which_permission_and_role_is_missing(
    cloud: Cloud, app_source: Path, module: str
) -> None:
    before = cloud.resources()
    message = cloud.error(module, user=NOBODY, **options(module, app_source))
    assert "(HTTP 403 " in message
    permission, role = REFUSED[module]
    assert permission in message
    assert role in message
    assert cloud.resources() == before


#: For each module what a caller without any role is told to ask for.
REFUSED = {
    "artifactregistry_image_retention": ("artifactregistry.versions.list", "roles/artifactregistry.admin"),
    "artifactregistry_repository": ("artifactregistry.repositories.get", "roles/artifactregistry.admin"),
    "artifactregistry_repository_info": (
        "artifactregistry.repositories.list",
        "roles/artifactregistry.admin",
    ),
    "cloudbuild_build": ("cloudbuild.builds.list", "roles/cloudbuild.builds.editor"),
    "compute_address": ("compute.addresses.get", "roles/compute.networkAdmin"),
    "compute_firewall": ("compute.firewalls.get", "roles/compute.securityAdmin"),
    "compute_instance": ("compute.instances.get", "roles/compute.instanceAdmin.v1"),
    "compute_instance_info": ("compute.instances.list", "roles/compute.instanceAdmin.v1"),
    "compute_network": ("compute.networks.get", "roles/compute.networkViewer"),
    "compute_network_info": ("compute.networks.get", "roles/compute.networkViewer"),
    "compute_router": ("compute.routers.get", "roles/compute.networkAdmin"),
    "compute_subnetwork": ("compute.subnetworks.get", "roles/compute.networkViewer"),
    "logging_entries_info": ("logging.logEntries.list", "roles/logging.viewer"),
    "iam_members": ("resourcemanager.projects.getIamPolicy", "roles/resourcemanager.projectIamAdmin"),
    "ownership_info": ("secretmanager.secrets.get", "roles/secretmanager.admin"),
    "release_parts_info": ("secretmanager.versions.get", "roles/secretmanager.admin"),
    "resourcemanager_project_info": ("resourcemanager.projects.get", "roles/browser"),
    "serviceusage_services": ("serviceusage.services.list", "roles/serviceusage.serviceUsageAdmin"),
    "run_canary": ("run.services.get", "roles/run.admin"),
    "run_job_execution": ("run.jobs.get", "roles/run.admin"),
    "run_job_execution_info": ("run.executions.list", "roles/run.admin"),
    "run_jobs": ("run.jobs.get", "roles/run.admin"),
    "run_jobs_info": ("run.jobs.list", "roles/run.admin"),
    "run_revision_retention": ("run.revisions.list", "roles/run.admin"),
    "run_service": ("run.services.get", "roles/run.admin"),
    "run_service_info": ("run.services.get", "roles/run.admin"),
    "run_worker_pool": ("run.workerpools.get", "roles/run.admin"),
    "run_worker_pools_info": ("run.workerpools.list", "roles/run.admin"),
    "secretmanager_secrets": ("secretmanager.secrets.get", "roles/secretmanager.admin"),
    "secretmanager_secrets_info": ("secretmanager.secrets.list", "roles/secretmanager.admin"),
    "iam_service_accounts": ("iam.serviceAccounts.get", "roles/iam.serviceAccountAdmin"),
    "iam_service_accounts_info": ("iam.serviceAccounts.list", "roles/iam.serviceAccountAdmin"),
    "smoke_test": ("iam.serviceAccounts.getOpenIdToken", "roles/iam.serviceAccountOpenIdTokenCreator"),
    "sql_backup_run": ("cloudsql.backupRuns.create", "roles/cloudsql.admin"),
    "sql_database": ("cloudsql.databases.get", "roles/cloudsql.admin"),
    "sql_database_copy": ("cloudsql.instances.executeSql", "roles/cloudsql.admin"),
    "sql_database_info": ("cloudsql.databases.list", "roles/cloudsql.admin"),
    "sql_instance": ("cloudsql.instances.get", "roles/cloudsql.admin"),
    "sql_instance_info": ("cloudsql.instances.list", "roles/cloudsql.admin"),
    "sql_statements": ("cloudsql.instances.executeSql", "roles/cloudsql.admin"),
    "sql_users": ("secretmanager.versions.get", "roles/secretmanager.admin"),
    "sql_users_info": ("cloudsql.users.list", "roles/cloudsql.admin"),
    "storage_buckets": ("storage.buckets.create", "roles/storage.admin"),
    "storage_buckets_info": ("storage.buckets.list", "roles/storage.admin"),
}


def test_a_wrong_token_is_no_traceback(cloud: Cloud) -> None:
    token = "not-a-token-of-anybody"
    message = cloud.error(
        "run_service_info", auth_kind="accesstoken", access_token=token, **OPTIONS["run_service_info"]
    )
    assert "(HTTP 401 UNAUTHENTICATED). Log in again" in message
    assert cloud.never_printed(token)


def test_missing_credentials_are_explained(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(os.environ, "HOME", str(tmp_path))
    arguments = '{"ANSIBLE_MODULE_ARGS": {"name": "absent", "location": "us-central1"}}'
    environment = {**os.environ, "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "none.json")}
    environment["PYTHONPATH"] = str(COLLECTION.parents[2])
    module = COLLECTION / "plugins" / "modules" / "run_service_info.py"
    done = subprocess.run(
        [sys.executable, str(module)],
        input=arguments,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "none.json" in done.stdout
    assert "Run 'gcloud auth application-default login'" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
