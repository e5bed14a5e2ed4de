"""Access on the state page."""

from __future__ import annotations

from gcp_emulator.engine.describe import Badge, Panel, Quiet, Table
from gcp_emulator.engine.iam import Iam
from gcp_emulator.engine.store import Store
from gcp_emulator.services.iam.describe import describe

ACCOUNT = "web@p.iam.gserviceaccount.com"


def test_grants_go_by_resource_with_the_project_first() -> None:
    iam = Iam(Store(None))
    iam.place("projects/_/buckets/", lambda resource: "p" if resource.endswith("/mine") else "other")
    for name in (
        "projects/p",
        "projects/p/secrets/key",
        "projects/p/serviceAccounts/a",
        "projects/p/locations/l/repositories/r",
        "projects/_/buckets/mine",
        "projects/_/buckets/theirs",
        "projects/q",
    ):
        iam.add_binding(name, "roles/viewer", f"serviceAccount:{ACCOUNT}")
    section = describe([{"email": ACCOUNT, "disabled": True}], iam.policies_of("p"))
    accounts, grants = section.groups
    titles = [one.title for one in grants.content if isinstance(one, Panel)]
    assert titles == [
        (Quiet("project"), " p"),
        (Quiet("bucket"), " mine"),
        (Quiet("repository"), " r"),
        (Quiet("secret"), " key"),
        (Quiet("service account"), " a"),
    ]
    (table,) = accounts.content
    assert isinstance(table, Table)
    assert table.rows == [[(ACCOUNT, " ", Badge("disabled", "warn")), "", "5"]]


def test_a_role_that_grants_nothing_here_is_marked() -> None:
    iam = Iam(Store(None))
    for role in ("roles/viewer", "roles/firebasehosting.admin", "projects/p/roles/own"):
        iam.define_roles(lambda name: ("run.jobs.run",) if name == "projects/p/roles/own" else None)
        iam.add_binding("projects/p", role, f"serviceAccount:{ACCOUNT}")
    section = describe([], iam.policies_of("p"))
    (panel,) = [one for one in section.groups[1].content if isinstance(one, Panel)]
    assert [row[0] for row in panel.tables[0].rows] == [
        "projects/p/roles/own",
        (
            "roles/firebasehosting.admin",
            " ",
            Badge("permissions unknown: grants nothing", "warn"),
        ),
        "roles/viewer",
    ]
