"""What a site and its visitors are granted is what they need."""

from __future__ import annotations

from typing import Any

import yaml
from gcp_emulator.engine.iam_roles import role_permissions

from tests.contract.wire import COLLECTION, ROOT


def _vars(role: str) -> Any:
    return yaml.safe_load((COLLECTION / "roles" / role / "vars" / "main.yml").read_text("utf-8"))


def _roles_of_the_web_account() -> set[str]:
    found = _vars("identity")
    grants = [*found["__identity_grants"], found["__identity_own_grant"]]
    return {grant["role"] for grant in grants if "{{ __identity_web }}" in grant["members"]}


def test_visitors_read_static_files_and_list_none() -> None:
    everybody = _vars("storage")["__storage_everybody"]
    assert everybody["members"] == ["allUsers"]
    assert role_permissions(everybody["role"]) == ("storage.objects.get",)


def test_a_site_is_granted_nothing_for_what_it_does_not_do() -> None:
    assert _roles_of_the_web_account() == {
        "roles/cloudsql.client",
        "roles/iam.serviceAccountTokenCreator",
        "roles/logging.logWriter",
    }


def test_the_site_of_the_compose_stack_may_do_no_more_than_a_deployed_one() -> None:
    (project,) = yaml.safe_load((ROOT / "compose/seed.yaml").read_text("utf-8"))["projects"]
    granted = {binding["role"] for binding in project["bindings"]}
    assert "roles/cloudsql.client" in granted
    assert granted <= _roles_of_the_web_account()
