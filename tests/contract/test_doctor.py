"""Every error that the product prints is one that doctor knows: a row of its table, and a heading of the page that the row names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from ansible_collections.org.djangogcp.plugins.plugin_utils._symptoms import PAGE, SYMPTOMS, symptom_of

from tests.contract.wire import COLLECTION, ROOT

TEXT = (ROOT / "docs" / "when-it-goes-wrong.md").read_text("utf-8")
#: What is raised where nobody but a programmer can be wrong, or is caught again.
OURS = {"AssertionError", "TypeError", "ValueError", "NotImplementedError", "AttributeError"}
#: Tasks that fail with what others have said, which doctor meets there: by file and name the heading that it then has at least.
SAID_BY_OTHERS = {
    (
        "cloud_run/tasks/candidate.yml",
        "candidate | Stop before the new revision gets traffic",
    ): "a-container-does-not-listen",
    (
        "cloud_run/tasks/workers.yml",
        "workers | Stop before the new revision gets traffic",
    ): "a-container-does-not-listen",
    (
        "compute_engine/tasks/background.yml",
        "background | Stop before the new release gets visitors",
    ): "a-container-does-not-listen",
    (
        "compute_engine/tasks/candidate.yml",
        "candidate | Stop before the new release gets visitors",
    ): "a-container-does-not-listen",
    ("compute_engine/tasks/run.yml", "run | Tell what failed"): "a-command-has-failed",
    ("preflight/tasks/foreign.yml", "foreign | Stop at anything else"): "google-cloud-refuses-it",
    ("preflight/tasks/preview.yml", "preview | Refuse a preview that cannot be"): "a-preview-is-refused",
    ("release/tasks/ask.yml", "ask | Stop before the new revision gets traffic"): "a-page-does-not-answer",
    ("release/tasks/command.yml", "command | Stop before there is a new revision"): "a-command-has-failed",
    ("release/tasks/releases.yml", "releases | Tell why there are none"): "google-cloud-refuses-it",
    ("release/tasks/rotation.yml", "rotation | Refuse what cannot be rotated"): "a-rotation-is-refused",
    ("release/tasks/served.yml", "served | Refuse what is not known"): "what-serves-has-no-record",
    ("release/tasks/left.yml", "left | Refuse what cannot be promoted"): "a-release-cannot-be-gone-back-to",
    ("release/tasks/diagnosis.yml", "diagnosis | End with the number of problems"): "a-page-does-not-answer",
    ("site/tasks/canary.yml", "canary | Stop before it has all the traffic"): "a-canary-was-bad",
    (
        "site/tasks/promote_old.yml",
        "promote_old | Say what became of it, and fail with what did not",
    ): "a-canary-was-bad",
}


def headings() -> set[str]:
    """The headings of the page, as GitHub makes addresses of them."""
    found = re.findall(r"^### (.+)$", TEXT, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in found}


def said(template: str) -> str:
    """The words of a template: what is written, and what stands in quotes where it is computed."""

    def literals(found: re.Match[str]) -> str:
        return " ".join(re.findall(r"'([^']*)'", found[0])) or "X"

    return " ".join(re.sub(r"\{\{.*?\}\}|\{%.*?%\}", literals, template, flags=re.DOTALL).split())


def failures() -> Iterator[tuple[tuple[str, str], str]]:
    """The tasks of the roles that fail or assert, with what they say; of a role that is used alone, without a site, doctor knows nothing."""

    def walk(tasks: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
        for task in tasks:
            for part in ("block", "rescue", "always"):
                yield from walk(task.get(part) or [])
            for module in ("ansible.builtin.fail", "ansible.builtin.assert"):
                if module in task:
                    yield task["name"], task[module].get("msg") or task[module].get("fail_msg") or ""

    for path in sorted((COLLECTION / "roles").glob("*/tasks/**/*.yml")):
        where = path.relative_to(COLLECTION / "roles")
        if (COLLECTION / "roles" / where.parts[0] / "meta/example.md").is_file():
            continue
        for name, message in walk(yaml.safe_load(path.read_text("utf-8")) or []):
            yield (str(where), name), message


def words_of(node: ast.AST) -> str:
    """The text of an expression, with X for what is computed."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(words_of(part) if isinstance(part, ast.Constant) else "X" for part in node.values)
    if isinstance(node, ast.BinOp):
        return words_of(node.left) + words_of(node.right)
    return ""


def raised() -> dict[str, str]:
    """What modules raise in words of their own, by where."""
    found = {}
    for folder in ("module_utils", "modules", "action", "plugin_utils"):
        for path in sorted((COLLECTION / "plugins" / folder).glob("*.py")):
            if path.is_symlink():
                continue
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call):
                    continue
                name = getattr(node.exc.func, "id", getattr(node.exc.func, "attr", ""))
                text = " ".join(filter(None, map(words_of, node.exc.args)))
                if name.endswith(("Error", "Fail")) and name not in OURS and text.strip(" X:"):
                    found[f"{folder}/{path.name}:{node.lineno} {name}"] = text
    return found


FAILURES = sorted({(*where, message) for where, message in failures()})
RAISED = raised()


def test_each_heading_is_named_by_doctor_and_each_that_it_names_is_there() -> None:
    source = (COLLECTION / "plugins/plugin_utils/_doctor.py").read_text("utf-8")
    named = {row.page for row in SYMPTOMS} | set(
        re.findall(r'"((?:a|an|the|it|there)-[a-z-]+|[a-z]+-(?:has|is)-[a-z-]+|somebody-[a-z-]+)"', source)
    )
    assert named == headings()
    assert f"{PAGE.rpartition('/')[2]}" == "when-it-goes-wrong.md"


@pytest.mark.parametrize(("file", "task", "message"), FAILURES, ids=lambda value: str(value)[:60])
def test_what_a_role_fails_with_has_a_heading(file: str, task: str, message: str) -> None:
    text = said(message)
    if page := SAID_BY_OTHERS.get((file, task)):
        assert page in headings()
        return
    found = symptom_of(text)
    assert found is not None, f"{file}: {task}: no row of _symptoms.py knows: {text}"
    assert found[0].page in headings()


@pytest.mark.parametrize(
    ("said_there", "page"),
    [
        ("Failed to make release 4f9a of shop: fill | Install the requirements: it ended with status 1", "a-build-has-failed"),
        ("Failed to run python manage.py migrate of release 4f9a of shop: it ended with status 1", "a-command-has-failed"),
        ("Failed to serve /srv/shop/releases/4f9a/source as shop: it did not answer 200 at /", "a-container-does-not-listen"),
        ("Failed to start queue of shop: Unable to start service", "a-container-does-not-listen"),
        ("Failed to install the packages nginx, openssl of Debian: Failed to update apt cache", "a-package-cannot-be-installed"),
        (
            "Failed to make release 4f9a of shop: lines | Run the commands: pip install -r requirements.txt: non-zero return code\n"
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(': Connection refused')': /simple/asgiref/\n"
            "ERROR: No matching distribution found for asgiref==3.13.0 (100 MiB are free)",
            "a-package-cannot-be-installed",
        ),
        ("nginx refuses the new configuration, nothing was changed and the sites are served as before.", "a-variable-is-refused"),
    ],
)  # fmt: skip
def test_what_roles_of_servers_say_of_a_machine_has_its_heading(said_there: str, page: str) -> None:
    found = symptom_of(said_there)
    assert found is not None
    assert found[0].page == page


def test_nothing_is_left_of_a_task_that_is_gone() -> None:
    assert set(SAID_BY_OTHERS) <= {(file, task) for file, task, _message in FAILURES}


@pytest.mark.parametrize("where", RAISED)
def test_what_a_module_raises_has_a_heading(where: str) -> None:
    found = symptom_of(RAISED[where])
    assert found is not None, f"no row of _symptoms.py knows: {RAISED[where]}"
    assert found[0].page in headings()


def test_the_walk_finds_what_there_is() -> None:
    assert len(FAILURES) > 40
    assert len(RAISED) > 50


def test_every_row_can_be_met() -> None:
    """No row is hidden by the rows before it: each has a text here or in the product that it is the first to match."""
    met = {
        symptom_of(text)[0].page
        for text in [*SAMPLES, *RAISED.values(), *(said(one[2]) for one in FAILURES)]
        if symptom_of(text)
    }  # type: ignore[index]
    assert {row.page for row in SYMPTOMS} - met == set()


#: What others print, as their sources have it (see _symptoms.py), which nothing in the product says.
SAMPLES = (
    "polls: no instance of the new image would start, because the page of djangogcp_startup_path fails.",
    "ImportError: libgdal.so.32: cannot open shared object file: No such file or directory",
    "ModuleNotFoundError: No module named 'celery'",
    "django.core.exceptions.DisallowedHost: Invalid HTTP_HOST header: 'www.example.com'. You may need to add 'www.example.com' to ALLOWED_HOSTS.",
    "Forbidden (Origin checking failed - https://www.example.com does not match any trusted origins.): /admin/login/",
    "ValueError: Missing staticfiles manifest entry for 'css/site.css'",
    "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
    'FATAL:  password authentication failed for user "polls_web"',
    'django.db.utils.ProgrammingError: permission denied to create extension "vector"',
    "psycopg.errors.LockNotAvailable: canceling statement due to lock timeout",
    "  Applying polls.0002_more...Traceback (most recent call last):",
    'django.db.utils.ProgrammingError: relation "polls_question" does not exist',
    "django.core.exceptions.ImproperlyConfigured: Set the EMAIL_HOST environment variable",
    'connection to server on socket "/cloudsql/p:r:i/.s.PGSQL.5432" failed: No such file or directory',
    "Permission denied on secret: projects/1/secrets/polls-secret-key/versions/1 for Revision service account",
    "Memory limit of 512 MiB exceeded with 530 MiB used.",
    "Image 'us-central1-docker.pkg.dev/p/polls/polls@sha256:aa' not found.",
    "Permission 'iam.serviceaccounts.actAs' denied on service account polls-web@p.iam.gserviceaccount.com",
    "The user-provided container failed the configured startup probe checks.",
    "The user-provided container failed to start and listen on the port defined provided by the PORT=8080 environment variable",
    "ERROR: No matching distribution found for django==9.9",
    "HTTP 412: 'us-east1' violates constraint 'constraints/gcp.resourceLocations'",
    "This API method requires billing to be enabled.",
    "Cloud Run Admin API has not been used in project 1 before or it is disabled.",
    "Quota exceeded for quota metric 'Requests' and limit 'Requests per minute'",
    "Quota 'CPUS' exceeded.  Limit: 8.0 in region us-east1.",
    "The zone 'projects/p/zones/us-east1-b' does not have enough resources available to fulfill the request.  Try a different zone, or try again later.",
    "Permission 'run.services.get' denied on resource",
    "It ended with FAILURE: Build failed; check build logs for details",
    "The configured timeout was reached.",
    "Failed to create bucket x: something else (HTTP 400 invalid).",
    "polls: the migrations of this release are destructive, and djangogcp_allow_destructive_migrations is false.",
    "polls: rotate is secret_key: what serves was given no such secret. Nothing was changed.",
    "Failed to update secret polls-secret-key: Google Cloud cannot change replication from 'x' to 'y'.",
    "Failed to try https://candidate---polls-1.us-central1.run.app out: /polls/ answered 500 (expected 200).",
)


def test_of_a_log_the_last_line_that_matches_counts() -> None:
    lines = ["ModuleNotFoundError: No module named 'first'", "ModuleNotFoundError: No module named 'last'"]
    row, what = symptom_of("\n".join(lines)) or (None, "")
    assert row is not None
    assert (row.page, what) == ("a-module-of-python-is-missing", "last")
