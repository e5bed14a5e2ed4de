"""gcloud, unmodified, against the emulator; what each command did is read straight from the API."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from emulator.tests.running import PROJECT
from tests.conformance.cloud import OWNER, REGION, Cloud, until

SECRETS = f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"
SQL = f"sqladmin.googleapis.com/v1/projects/{PROJECT}/instances"
RUN = f"run.googleapis.com/v2/projects/{PROJECT}/locations/{REGION}"
STORAGE = "storage.googleapis.com/storage/v1/b"


def members(policy: dict[str, list[dict[str, list[str]]]], role: str) -> list[str]:
    """The members of a policy that have ``role``."""
    return [member for one in policy.get("bindings", []) if one["role"] == role for member in one["members"]]


def test_the_project_and_its_policy(gcloud: Cloud) -> None:
    assert gcloud.gcloud_json("projects", "describe", PROJECT)["projectNumber"] == gcloud.number
    member, role = f"serviceAccount:{gcloud.compute_account}", "roles/cloudsql.viewer"
    binding = ("--member", member, "--role", role)
    gcloud.gcloud("projects", "add-iam-policy-binding", PROJECT, *binding)
    policy = f"cloudresourcemanager.googleapis.com/v3/projects/{PROJECT}:getIamPolicy"
    assert members(gcloud.api(policy, method="POST", body={}), role) == [member]
    assert members(gcloud.gcloud_json("projects", "get-iam-policy", PROJECT), role) == [member]
    gcloud.gcloud("projects", "remove-iam-policy-binding", PROJECT, *binding)
    assert members(gcloud.api(policy, method="POST", body={}), role) == []


def test_service_accounts(gcloud: Cloud, tmp_path: Path) -> None:
    email = f"gcloud-web@{PROJECT}.iam.gserviceaccount.com"
    api = f"iam.googleapis.com/v1/projects/{PROJECT}/serviceAccounts"
    gcloud.gcloud("iam", "service-accounts", "create", "gcloud-web", "--display-name", "Web")
    assert gcloud.api(f"{api}/{email}")["displayName"] == "Web"
    gcloud.gcloud("iam", "service-accounts", "update", email, "--display-name", "Site")
    assert gcloud.gcloud_json("iam", "service-accounts", "describe", email)["displayName"] == "Site"
    assert email in [one["email"] for one in gcloud.gcloud_json("iam", "service-accounts", "list")]
    role = "roles/iam.serviceAccountUser"
    gcloud.gcloud(
        "iam",
        "service-accounts",
        "add-iam-policy-binding",
        email,
        "--member",
        f"user:{OWNER}",
        "--role",
        role,
    )
    policy = gcloud.api(f"{api}/{email}:getIamPolicy", method="POST", body={})
    assert members(policy, role) == [f"user:{OWNER}"]
    shown = gcloud.gcloud_json("iam", "service-accounts", "get-iam-policy", email)
    assert members(shown, role) == [f"user:{OWNER}"]
    gcloud.gcloud("iam", "service-accounts", "keys", "create", tmp_path / "key.json", "--iam-account", email)
    keys = gcloud.api(f"{api}/{email}/keys?keyTypes=USER_MANAGED")["keys"]
    assert len(keys) == 1
    gcloud.gcloud("iam", "service-accounts", "delete", email)
    gcloud.api(f"{api}/{email}", status=404)


def test_secrets(gcloud: Cloud, tmp_path: Path) -> None:
    value = tmp_path / "value"
    value.write_text("first")
    gcloud.gcloud("secrets", "create", "gcloud-token", "--data-file", value, "--labels", "a=b")
    gcloud.gcloud("secrets", "versions", "add", "gcloud-token", "--data-file", "-", stdin="second")
    found = gcloud.api(f"{SECRETS}/gcloud-token/versions/latest:access")["payload"]["data"]
    assert base64.b64decode(found) == b"second"
    access = ("secrets", "versions", "access", "--secret", "gcloud-token")
    assert gcloud.gcloud(*access, "1") == "first"
    gcloud.gcloud("secrets", "versions", "disable", "1", "--secret", "gcloud-token")
    assert "is in DISABLED state" in gcloud.gcloud(*access, "1", status=1)
    listed = gcloud.gcloud_json("secrets", "versions", "list", "gcloud-token")
    assert [one["state"] for one in listed] == ["ENABLED", "DISABLED"]
    gcloud.gcloud("secrets", "update", "gcloud-token", "--update-labels", "c=d")
    assert gcloud.api(f"{SECRETS}/gcloud-token")["labels"] == {"a": "b", "c": "d"}
    member, role = f"serviceAccount:{gcloud.compute_account}", "roles/secretmanager.secretAccessor"
    gcloud.gcloud("secrets", "add-iam-policy-binding", "gcloud-token", "--member", member, "--role", role)
    assert members(gcloud.api(f"{SECRETS}/gcloud-token:getIamPolicy"), role) == [member]
    assert gcloud.gcloud_json("secrets", "describe", "gcloud-token")["labels"] == {"a": "b", "c": "d"}
    assert any(one["name"].endswith("/gcloud-token") for one in gcloud.gcloud_json("secrets", "list"))
    gcloud.gcloud("secrets", "delete", "gcloud-token")
    assert "NOT_FOUND" in gcloud.gcloud("secrets", "describe", "gcloud-token", status=1)


def test_cloud_sql(gcloud: Cloud) -> None:
    gcloud.gcloud(
        "sql", "instances", "create", "gcloud-sql", "--database-version", "POSTGRES_17", "--edition", "enterprise",
        "--tier", "db-f1-micro", "--region", REGION, "--root-password", "hunter2hunter2",
    )  # fmt: skip
    own = f"{SQL}/gcloud-sql"
    assert gcloud.api(own)["state"] == "RUNNABLE"
    assert "gcloud-sql" in [one["name"] for one in gcloud.gcloud_json("sql", "instances", "list")]
    of = ("--instance", "gcloud-sql")
    gcloud.gcloud("sql", "databases", "create", "site", *of)
    assert gcloud.api(f"{own}/databases/site")["charset"] == "UTF8"
    assert gcloud.gcloud_json("sql", "databases", "describe", "site", *of)["charset"] == "UTF8"
    assert "site" in [one["name"] for one in gcloud.gcloud_json("sql", "databases", "list", *of)]
    gcloud.gcloud("sql", "users", "create", "site", *of, "--password", "hunter2")
    gcloud.gcloud("sql", "users", "set-password", "site", *of, "--password", "hunter3")
    assert "site" in [one["name"] for one in gcloud.gcloud_json("sql", "users", "list", *of)]
    gcloud.gcloud(
        "sql", "instances", "patch", "gcloud-sql", "--database-flags", "log_min_duration_statement=500"
    )
    flags = gcloud.api(own)["settings"]["databaseFlags"]
    assert flags == [{"name": "log_min_duration_statement", "value": "500"}]
    shown = gcloud.gcloud_json("sql", "instances", "describe", "gcloud-sql")
    assert shown["settings"]["databaseFlags"] == flags
    gcloud.gcloud("sql", "backups", "create", *of)
    [backup] = gcloud.gcloud_json("sql", "backups", "list", *of)
    assert gcloud.api(f"{own}/backupRuns/{backup['id']}")["status"] == "SUCCESSFUL"
    shown = gcloud.gcloud_json("sql", "backups", "describe", backup["id"], *of)
    assert shown["status"] == "SUCCESSFUL"
    gcloud.gcloud("sql", "backups", "delete", backup["id"], *of)
    assert gcloud.api(f"{own}/backupRuns").get("items", []) == []
    gcloud.gcloud("sql", "users", "delete", "site", *of)
    gcloud.gcloud("sql", "databases", "delete", "site", *of)
    gcloud.api(f"{own}/databases/site", status=404)
    gcloud.gcloud("sql", "instances", "delete", "gcloud-sql")
    gcloud.api(own, status=404)


def test_cloud_storage(gcloud: Cloud, tmp_path: Path) -> None:
    bucket = f"gs://{PROJECT}-gcloud"
    own = f"{STORAGE}/{PROJECT}-gcloud"
    gcloud.gcloud(
        "storage", "buckets", "create", bucket, "--location", REGION, "--uniform-bucket-level-access"
    )
    gcloud.gcloud("storage", "buckets", "update", bucket, "--update-labels", "a=b")
    assert gcloud.api(own)["labels"] == {"a": "b"}
    assert gcloud.gcloud_json("storage", "buckets", "describe", bucket)["labels"] == {"a": "b"}
    small, large = tmp_path / "small.txt", tmp_path / "large"
    small.write_text("hello")
    large.write_bytes(bytes(range(256)) * 65536)
    gcloud.gcloud("storage", "cp", small, f"{bucket}/dir/small.txt")
    assert gcloud.api(f"{own}/o/dir%2Fsmall.txt")["contentType"] == "text/plain"
    assert gcloud.gcloud("storage", "cat", f"{bucket}/dir/small.txt") == "hello"
    shown = gcloud.gcloud_json("storage", "objects", "describe", f"{bucket}/dir/small.txt")
    assert (shown["size"], shown["content_type"]) == (5, "text/plain")
    assert gcloud.gcloud("storage", "ls", f"{bucket}/dir/").split() == [f"{bucket}/dir/small.txt"]
    gcloud.gcloud("storage", "cp", large, f"{bucket}/large")
    gcloud.gcloud("storage", "cp", f"{bucket}/large", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == large.read_bytes()
    gcloud.gcloud("storage", "mv", f"{bucket}/large", f"{bucket}/moved")
    names = [one["name"] for one in gcloud.gcloud_json("storage", "objects", "list", f"{bucket}/**")]
    assert names == ["dir/small.txt", "moved"]
    member, role = f"serviceAccount:{gcloud.compute_account}", "roles/storage.objectAdmin"
    gcloud.gcloud("storage", "buckets", "add-iam-policy-binding", bucket, "--member", member, "--role", role)
    assert members(gcloud.api(f"{own}/iam"), role) == [member]
    gcloud.gcloud("storage", "rm", "--recursive", bucket)
    gcloud.api(own, status=404)


def test_builds_and_images(gcloud: Cloud, image: str) -> None:
    [build] = [one for one in gcloud.gcloud_json("builds", "list") if one["images"] == [image]]
    own = gcloud.api(f"cloudbuild.googleapis.com/v1/projects/{PROJECT}/builds/{build['id']}")
    assert (own["status"], own["images"]) == ("SUCCESS", [image])
    assert gcloud.gcloud_json("builds", "describe", build["id"])["results"] == own["results"]
    assert "Successfully tagged " + image in gcloud.gcloud("builds", "log", build["id"])
    repositories = gcloud.gcloud_json("artifacts", "repositories", "list")
    assert "apps" in [one["name"].rpartition("/")[2] for one in repositories]
    [listed] = gcloud.gcloud_json("artifacts", "docker", "images", "list", image.rpartition("/")[0])
    assert listed["version"] == own["results"]["images"][0]["digest"]


def test_a_cloud_run_service(gcloud: Cloud, image: str) -> None:
    own = f"{RUN}/services/gcloud-web"
    deploy = ("run", "deploy", "gcloud-web", "--image", image)
    gcloud.gcloud(
        *deploy, "--set-env-vars", "GREETING=one", "--allow-unauthenticated", "--max-instances", "3"
    )
    service = gcloud.api(own)
    assert service["template"]["scaling"] == {"maxInstanceCount": 3}
    assert members(gcloud.api(f"{own}:getIamPolicy"), "roles/run.invoker") == ["allUsers"]
    web = gcloud.running.session(None)
    assert web.get(service["uri"]).text == "one None"

    gcloud.gcloud(
        "run",
        "services",
        "update",
        "gcloud-web",
        "--update-env-vars",
        "GREETING=two",
        "--tag",
        "new",
        "--no-traffic",
    )
    tag = gcloud.api(own)["uri"].replace("https://", "https://new---")
    assert (web.get(service["uri"]).text, web.get(tag).text) == ("one None", "two None")
    gcloud.gcloud("run", "services", "update-traffic", "gcloud-web", "--to-latest")
    assert web.get(service["uri"]).text == "two None"
    old = service["latestReadyRevision"].rpartition("/")[2]
    gcloud.gcloud("run", "services", "update-traffic", "gcloud-web", "--to-revisions", f"{old}=100")
    assert web.get(service["uri"]).text == "one None"
    gcloud.gcloud("run", "services", "update-traffic", "gcloud-web", "--to-latest")
    shown = gcloud.gcloud_json("run", "services", "describe", "gcloud-web")
    assert [one["percent"] for one in shown["status"]["traffic"] if one.get("latestRevision")] == [100]

    revisions = gcloud.gcloud_json("run", "revisions", "list", "--service", "gcloud-web")
    assert len(revisions) == 2
    assert old in gcloud.gcloud("run", "revisions", "describe", old)
    gcloud.gcloud("run", "revisions", "delete", old)
    gcloud.api(service["latestReadyRevision"].join(["run.googleapis.com/v2/", ""]), status=404)
    listed = gcloud.gcloud_json("run", "services", "list")
    assert service["uri"] in [one["status"]["url"] for one in listed]
    until(lambda: "somebody asks" in gcloud.gcloud("run", "services", "logs", "read", "gcloud-web"))
    read = gcloud.gcloud_json(
        "logging", "read", 'resource.labels.service_name="gcloud-web" AND textPayload:"somebody"'
    )
    assert {one["resource"]["type"] for one in read} == {"cloud_run_revision"}
    gcloud.gcloud("run", "services", "delete", "gcloud-web")
    gcloud.api(own, status=404)


def test_a_revision_that_does_not_start_says_why(gcloud: Cloud, image: str) -> None:
    said = gcloud.gcloud("run", "deploy", "gcloud-broken", "--image", image, "--args", "x,1", status=1)
    assert "The user-provided container failed to start and listen on the port defined" in said
    condition = gcloud.api(f"{RUN}/services/gcloud-broken")["terminalCondition"]
    assert condition["state"] == "CONDITION_FAILED"
    gcloud.gcloud("run", "services", "delete", "gcloud-broken")


def test_a_cloud_run_job(gcloud: Cloud, image: str) -> None:
    own = f"{RUN}/jobs/gcloud-job"
    gcloud.gcloud(
        "run", "jobs", "create", "gcloud-job", "--image", image, "--args", "good,0", "--max-retries", "0"
    )
    assert gcloud.api(own)["template"]["template"]["maxRetries"] == 0
    gcloud.gcloud("run", "jobs", "execute", "gcloud-job", "--wait")
    gcloud.gcloud("run", "jobs", "update", "gcloud-job", "--args", "bad,3")
    assert "The execution failed" in gcloud.gcloud("run", "jobs", "execute", "gcloud-job", "--wait", status=1)
    executions = gcloud.gcloud_json("run", "jobs", "executions", "list", "--job", "gcloud-job")
    assert [one["status"].get("succeededCount", 0) for one in executions] == [0, 1]
    name = executions[0]["metadata"]["name"]
    assert gcloud.gcloud_json("run", "jobs", "executions", "describe", name)["status"]["failedCount"] == 1
    [task] = gcloud.gcloud_json("run", "jobs", "executions", "tasks", "list", "--execution", name)
    assert task["status"]["lastAttemptResult"]["exitCode"] == 3
    assert gcloud.gcloud_json("run", "jobs", "describe", "gcloud-job")["status"]["executionCount"] == 2
    assert "gcloud-job" in [one["metadata"]["name"] for one in gcloud.gcloud_json("run", "jobs", "list")]
    gcloud.gcloud("run", "jobs", "executions", "delete", name)
    gcloud.api(f"{own}/executions/{name}", status=404)
    gcloud.gcloud("run", "jobs", "delete", "gcloud-job")
    gcloud.api(own, status=404)


@pytest.mark.parametrize(
    "command", [("run", "services", "describe", "none"), ("run", "jobs", "describe", "none")]
)
def test_what_is_not_there_cannot_be_found(gcloud: Cloud, command: tuple[str, ...]) -> None:
    assert "Cannot find" in gcloud.gcloud(*command, status=1)
