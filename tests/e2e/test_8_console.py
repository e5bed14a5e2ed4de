"""What a person is told to type for a shell in what serves, and for a session in its database."""

from __future__ import annotations

from tests.e2e.rehearsal import OPERATOR, PROJECT, REGION, Rehearsal


def test_a_shell_is_opened_to_who_asks_for_it(model_site: Rehearsal) -> None:
    told = model_site.playbook("playbooks/console.yml")
    assert told.status == 0, told.output
    assert told.counts("polls")["changed"] == 0
    assert "deploy with djangogcp_ssh: true" in told.output
    assert not model_site.service("polls").get("sshEnabled")

    asked = ("-e", "djangogcp_ssh=true")
    run = model_site.playbook("deploy.yml", *asked)
    assert run.status == 0, run.output
    assert model_site.service("polls")["sshEnabled"] is True
    assert model_site.playbook("deploy.yml", *asked).counts("polls")["changed"] == 0
    shell = f"gcloud beta run services ssh polls --region={REGION} --project={PROJECT}"
    assert shell in model_site.playbook("playbooks/console.yml", *asked).output


def test_the_database_is_reached_as_oneself(model_site: Rehearsal) -> None:
    told = model_site.playbook("playbooks/console.yml").output
    assert f"cloud-sql-proxy --auto-iam-authn --port=6543 {PROJECT}:{REGION}:djangogcp &" in told
    assert f'psql "host=127.0.0.1 port=6543 user={OPERATOR} dbname=polls"' in told
    # What the operator may become there, as the API tells it.
    users = model_site.api(f"sqladmin.googleapis.com/v1/projects/{PROJECT}/instances/djangogcp/users")[
        "items"
    ]
    roles = {user["name"]: user.get("databaseRoles", []) for user in users}
    assert "SET ROLE polls_migrator;" in told
    assert "polls_migrator" in roles[OPERATOR]
