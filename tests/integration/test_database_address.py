"""Which addresses a deploy asks of the database instance: of one that it makes, and of one that is there. Nothing is changed here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from gcp_emulator.services.compute.ports import Networks
from gcp_emulator.services.servicenetworking.ports import Connections

from tests.integration.cloud import PROJECT, REGION, Cloud

ROOT = Path(__file__).resolve().parents[2]
ROLES = ROOT / "collections" / "ansible_collections" / "org" / "djangogcp" / "roles"
NETWORK = f"projects/{PROJECT}/global/networks/offices"
#: What is described, by host: the instance, whether it is there, and the network.
CASES: dict[str, tuple[str, bool, str]] = {
    "new": ("nowhere", False, ""),
    "new-inside": ("nowhere", False, "offices"),
    "public": ("outside", True, ""),
    "public-to-inside": ("outside", True, "offices"),
    "inside": ("inside", True, "offices"),
    "inside-to-public": ("inside", True, ""),
}
PLAYBOOK = f"""
- hosts: all
  gather_facts: false
  module_defaults:
    group/org.djangogcp.gcp:
      project: {PROJECT}
  vars:
    djangogcp_project: {PROJECT}
    djangogcp_region: {REGION}
    djangogcp_site: shop
    djangogcp_out_variables: {{database_flags: {{}}, adopt: []}}
    djangogcp_out_ownership:
      mark: {{site: shop, region: {REGION}}}
      sharing_sites: []
      existing: "{{{{ ['SQL instance ' ~ djangogcp_database_instance] if is_there else [] }}}}"
      set: [djangogcp_network]
  tasks:
    - name: Ask for the instance
      block:
        - name: Ask for the instance
          ansible.builtin.include_role:
            name: org.djangogcp.database
            tasks_from: start
            rolespec_validate: false
      rescue:
        - name: Keep why not
          ansible.builtin.set_fact:
            refused: "{{{{ ansible_failed_result.msg }}}}"

    - name: Tell
      ansible.builtin.copy:
        content: "{{{{ {{'asked': djangogcp_out_database_instance_result, 'refused': refused | default('')}} | to_json }}}}"
        dest: "{{{{ folder }}}}/{{{{ inventory_hostname }}}}.json"
      check_mode: false
"""


@pytest.fixture(scope="module")
def results(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the role's tasks said of each case, in check mode."""
    networks = cloud.running.context.ports.find(Networks)
    path = cloud.running.call(networks.declare, PROJECT, "offices", REGION, "10.8.0.0/24")
    cloud.running.call(networks.reserve, path, "services", "10.16.0.0/20")
    cloud.running.call(cloud.running.context.ports.find(Connections).connect, path, ["services"])
    # Of MySQL, because no server has to start for it.
    like = {
        "region": REGION,
        "database_version": "MYSQL_8_4",
        "edition": "ENTERPRISE",
        "tier": "db-n1-standard-1",
        "mark": {"site": "shop", "region": REGION},
    }
    cloud.ok("sql_instance", name="outside", ip_configuration={"ipv4_enabled": True}, **like)
    inside = {"ipv4_enabled": False, "private_network": NETWORK}
    cloud.ok("sql_instance", name="inside", ip_configuration=inside, **like)

    folder = tmp_path_factory.mktemp("addresses")
    hosts = {
        host: {"djangogcp_database_instance": instance, "is_there": there, "djangogcp_network": network}
        for host, (instance, there, network) in CASES.items()
    }
    defaults = yaml.safe_load((ROLES / "preflight" / "defaults" / "main.yml").read_text("utf-8"))
    same = {
        **defaults,
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "folder": str(folder),
    }
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts, "vars": same}}), "utf-8")
    (folder / "play.yml").write_text(PLAYBOOK, "utf-8")
    command = ["ansible-playbook", "--check", "-i", folder / "hosts.yml", folder / "play.yml"]
    done = subprocess.run(
        [Path(sys.executable).parent / command[0], *command[1:]],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_LOCAL_TEMP": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {host: json.loads((folder / f"{host}.json").read_text("utf-8")) for host in CASES}


@pytest.mark.parametrize(
    ("case", "public", "network"),
    [
        ("new", True, None),
        ("new-inside", False, NETWORK),
        ("public", True, None),
        ("public-to-inside", True, NETWORK),
        ("inside", False, NETWORK),
    ],
)
def test_an_instance_has_these_addresses_after_a_deploy(
    results: dict[str, Any], case: str, public: bool, network: str | None
) -> None:
    found = results[case]
    assert found["refused"] == ""
    planned = found["asked"]["instance"]["ip_configuration"]
    assert planned["ipv4_enabled"] is public
    assert planned.get("private_network") == network


def test_an_instance_without_a_public_address_gets_none(results: dict[str, Any]) -> None:
    found = results["inside-to-public"]
    assert found["asked"]["instance"]["ip_configuration"]["ipv4_enabled"] is False
    assert found["refused"].startswith(
        "The SQL instance inside has no public address, and shop would not reach it: nothing of what serves was changed. Set "
        f"djangogcp_network to {NETWORK}, which it is in, or give it a public address too: gcloud sql instances patch inside"
    )
