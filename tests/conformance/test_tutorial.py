"""The commands of "Running Django on the Cloud Run environment" with the model project: they end in a served site.

Source: https://cloud.google.com/python/django/run. Three things differ: the build's account is granted its role, which
projects since 2024 need too, the model project reads its variables one by one instead of from one file, and what is laid
over its settings is copied into the context of the build, where its Dockerfile looks for it.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from emulator.tests.running import PROJECT
from tests.conformance.cloud import REGION, Cloud

ROOT = Path(__file__).parents[2]
APP = ROOT / "app"
OVERLAY = ROOT / "collections/ansible_collections/org/djangogcp/roles/image/files/overlay"
NAME = "tutorial"
INSTANCE = f"{PROJECT}:{REGION}:{NAME}"
IMAGE = f"{REGION}-docker.pkg.dev/{PROJECT}/{NAME}/site"
EMAIL, PASSWORD = "admin@example.com", "correct-horse-battery"


def test_the_tutorial_ends_in_a_served_site(gcloud: Cloud, tmp_path: Path) -> None:
    run = gcloud.gcloud
    source = tmp_path / "site"
    left_out = shutil.ignore_patterns("__pycache__", ".venv", "db.sqlite3", ".env")
    shutil.copytree(APP, source, ignore=left_out)
    shutil.copytree(OVERLAY, source / ".overlay", ignore=left_out)
    # "Set up a Cloud SQL for PostgreSQL instance"
    run(
        "sql", "instances", "create", NAME, "--project", PROJECT, "--database-version", "POSTGRES_16", "--edition",
        "enterprise", "--tier", "db-f1-micro", "--region", REGION,
    )  # fmt: skip
    run("sql", "databases", "create", "site", "--instance", NAME)
    run("sql", "users", "create", "djuser", "--instance", NAME, "--password", "db-password")
    # "Set up a Cloud Storage bucket"
    bucket = f"{PROJECT}-{NAME}-media"
    run("storage", "buckets", "create", f"gs://{bucket}", "--location", REGION)
    # "Store secret values in Secret Manager"
    account = f"serviceAccount:{gcloud.compute_account}"
    secrets = {
        "DATABASE_URL": f"postgres://djuser:db-password@//cloudsql/{INSTANCE}/site",
        "SECRET_KEY": "a-secret-key-that-is-long-enough-for-django-0123456789",
        "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
    }
    names = {key: f"{NAME}-{key.lower()}" for key in secrets}
    for key, value in secrets.items():
        run("secrets", "create", names[key], "--data-file", "-", stdin=value)
        run(
            "secrets", "add-iam-policy-binding", names[key], "--member", account,
            "--role", "roles/secretmanager.secretAccessor",
        )  # fmt: skip
    for role in ("roles/cloudsql.client", "roles/storage.objectAdmin", "roles/cloudbuild.builds.builder"):
        run("projects", "add-iam-policy-binding", PROJECT, "--member", account, "--role", role)
    # "Deploy the app": build, migrate, deploy
    run("artifacts", "repositories", "create", NAME, "--repository-format", "docker", "--location", REGION)
    run("builds", "submit", source, "--tag", IMAGE)
    variables = ",".join(
        f"{key}={value}"
        for key, value in {
            "GS_MEDIA_BUCKET_NAME": bucket,
            "ALLOWED_HOSTS": "not-yet-known.example",
            "DJANGO_SUPERUSER_EMAIL": EMAIL,
        }.items()
    )
    options = (
        "--image", IMAGE, "--set-env-vars", variables,
        "--set-secrets", ",".join(f"{key}={name}:latest" for key, name in names.items()),
    )  # fmt: skip
    for name, command in {"migrate": "migrate", "superuser": "createsuperuser"}.items():
        run(
            "run", "jobs", "create", f"{NAME}-{name}", *options, "--set-cloudsql-instances", INSTANCE,
            "--command", "python", "--args", f"manage.py,{command},--noinput", "--max-retries", "0",
        )  # fmt: skip
        run("run", "jobs", "execute", f"{NAME}-{name}", "--wait")
    run("run", "deploy", NAME, *options, "--add-cloudsql-instances", INSTANCE, "--allow-unauthenticated")
    # "Update the service with the service URL"
    url = run("run", "services", "describe", NAME, "--format", "value(status.url)").strip()
    web = gcloud.running.session(None)
    assert web.get(url).status_code == 400
    host = url.removeprefix("https://")
    run(
        "run",
        "services",
        "update",
        NAME,
        "--update-env-vars",
        f"ALLOWED_HOSTS={host},CSRF_TRUSTED_ORIGINS={url}",
    )

    assert web.get(url).status_code == 200
    page = web.get(f"{url}/admin/login/").text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token is not None
    answer = web.post(
        f"{url}/admin/login/?next=/admin/",
        data={"csrfmiddlewaretoken": token[1], "username": EMAIL, "password": PASSWORD},
        headers={"Referer": f"{url}/admin/login/"},
    )
    assert (answer.status_code, answer.url) == (200, f"{url}/admin/")
    assert "Log out" in answer.text
