"""The permissions and roles that the collection names are ones that IAM has."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from ansible_collections.org.djangogcp.plugins.module_utils import _errors
from gcp_emulator.engine.iam_roles import is_permission, permission_fits, role_names

from tests.contract.wire import COLLECTION

_ROLE = re.compile(r"roles/[a-z]+\.[A-Za-z.]*[A-Za-z](?![\w/{}])")
#: The permission of a call, which its error names.
_PERMISSION = re.compile(
    r"""["']((?:artifactregistry|cloudbuild|cloudsql|iam|logging|resourcemanager|run|secretmanager|"""
    r"""serviceusage|storage)\.(?!googleapis)[A-Za-z]+\.[A-Za-z]+)["']"""
)


def test_preflight_asks_for_permissions_that_a_project_can_give() -> None:
    defaults = yaml.safe_load((COLLECTION / "roles/preflight/defaults/main.yml").read_text("utf-8"))
    asked = [one for name, value in defaults.items() if name.endswith("permissions") for one in value]
    assert len(asked) > 20
    assert [one for one in asked if not permission_fits(one, "projects/p")] == []


def test_the_permissions_of_errors_are_spelt_as_iam_does() -> None:
    found = {
        one for path in _files("plugins", "*.py") for one in _PERMISSION.findall(path.read_text("utf-8"))
    }
    assert "cloudsql.instances.executeSql" in found
    assert sorted(one for one in found - _errors._CONSTRAINTS.keys() if not is_permission(one)) == []


def test_the_roles_that_are_granted_or_recommended_are_google_s() -> None:
    files = [*_files("roles", "*.yml"), *_files("plugins", "*.py"), *_files("playbooks", "*.yml")]
    found = {one for path in files for one in _ROLE.findall(path.read_text("utf-8"))}
    assert "roles/cloudsql.client" in found
    assert sorted(found - set(role_names())) == []


def _files(folder: str, pattern: str) -> list[Path]:
    return sorted((COLLECTION / folder).rglob(pattern))
