# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.org.djangogcp.plugins.plugin_utils._summary import Site, as_stats, lines

IMAGE = "europe-west1-docker.pkg.dev/p/djangogcp/polls@sha256:abc"
FACTS = {
    "djangogcp_out_site": {
        "project": "p",
        "admin_path": "/admin/",
        "login": "a@example.com",
        "password_secret": "polls-superuser-password",
    },
    "djangogcp_out_target": {"uri": "https://polls-1.europe-west1.run.app"},
    "djangogcp_out_app": {"image": IMAGE},
    "djangogcp_out_candidate": {"name": "polls-00002-abc"},
    "djangogcp_out_serving": "polls-00001-xyz",
    "djangogcp_out_executed": {"migrate": False, "superuser": True, "manage": False},
    "djangogcp_out_storage_buckets_result": {"changed": True, "actions": ["create bucket p-polls-media"]},
    "djangogcp_out_registry_repository_result": {"changed": False, "actions": []},
    "djangogcp_out_secrets": {"result": "kept"},
}
COMMANDS = {
    name: f"ansible-playbook org.djangogcp.{name} -i hosts" for name in ("password", "status", "manage")
}


def test_one_site():
    site = Site.from_facts(FACTS)
    assert lines({"polls": site}, [], 83.2, COMMANDS, is_check=False) == [
        "polls: https://polls-1.europe-west1.run.app",
        "  serves    polls-00002-abc",
        f"  image     {IMAGE}",
        "  admin     https://polls-1.europe-west1.run.app/admin/ (log in as a@example.com)",
        "  password  ansible-playbook org.djangogcp.password -i hosts",
        "            or gcloud secrets versions access latest --secret=polls-superuser-password --project=p",
        "  changed   create bucket p-polls-media",
        "            run migrate",
        "Deployed one site in 1 min 23 s.",
        "Next: ansible-playbook org.djangogcp.status -i hosts   (what serves, and what is not as declared)",
        "      ansible-playbook org.djangogcp.manage -i hosts -e manage_command='check --deploy'   (any command of manage.py)",
    ]


def test_several_sites_are_one_block_and_those_that_failed_are_named():
    unchanged = Site.from_facts(
        {
            **FACTS,
            "djangogcp_out_candidate": None,
            "djangogcp_out_executed": {},
            "djangogcp_out_storage_buckets_result": {},
        }
    )
    text = lines({"east": unchanged, "west": unchanged}, ["north"], 0.4, COMMANDS, is_check=False)
    assert "  serves    polls-00001-xyz" in text
    assert "  changed   nothing" in text
    assert "  password  ansible-playbook org.djangogcp.password -i hosts --limit west" in text
    assert "north: failed; the message above says why" in text
    assert "Deployed 2 sites in less than a second." in text


def test_a_check_has_changed_nothing():
    text = lines({"polls": Site.from_facts(FACTS)}, [], 5, COMMANDS, is_check=True)
    assert "  would change create bucket p-polls-media" in text
    assert "Checked one site in 5 s." in text
    assert not [line for line in text if "serves    " in line]


def test_a_run_with_tags_tells_what_it_knows():
    (first, *_others) = lines({"polls": Site.from_facts({})}, [], 5, COMMANDS, is_check=False)
    assert first == "polls: no address yet"


def test_a_long_list_of_changes_is_cut():
    facts = {
        "djangogcp_out_a_result": {"changed": True, "actions": [f"create {number}" for number in range(40)]}
    }
    text = lines({"polls": Site.from_facts(facts)}, [], 5, COMMANDS, is_check=False)
    assert "            create 11" in text
    assert "            and 28 more" in text
    assert not [line for line in text if line.endswith("create 12")]


def test_the_statistics_have_all_changes():
    assert as_stats({"polls": Site.from_facts(FACTS)}, 83.21) == {
        "polls": {
            "address": "https://polls-1.europe-west1.run.app",
            "revision": "polls-00002-abc",
            "image": IMAGE,
            "changed": ["create bucket p-polls-media", "run migrate"],
            "seconds": 83.2,
            "password_secret": "polls-superuser-password",
        }
    }
