"""Policies: evaluation, inheritance, etags, members, roles."""

from __future__ import annotations

import pytest
from gcp_emulator.engine.errors import ApiError
from gcp_emulator.engine.facts import read_yaml
from gcp_emulator.engine.iam import Iam
from gcp_emulator.engine.iam_roles import permission_fits, role_fits, role_has, role_names, role_permissions
from gcp_emulator.engine.identity import Identity, identity_of
from gcp_emulator.engine.store import Store

ANN = Identity("user:ann@example.com")
SECRET = "projects/p/secrets/s"
ACCESS = "secretmanager.versions.access"
ACCESSOR = "roles/secretmanager.secretAccessor"


@pytest.fixture
def store() -> Store:
    return Store(None)


@pytest.fixture
def iam(store: Store) -> Iam:
    iam = Iam(store)
    iam.vouch_for(lambda member, service: "nobody@" not in member)
    return iam


@pytest.mark.parametrize(
    ("granted_on", "allowed"),
    [
        ("projects/p/secrets/s/versions/1", True),
        (SECRET, True),
        ("projects/p", True),
        ("projects/p/secrets/other", False),
        ("projects/p/secrets/s2", False),
        ("projects/q", False),
    ],
)
def test_a_grant_holds_on_the_resource_and_below_it(iam: Iam, granted_on: str, allowed: bool) -> None:
    iam.add_binding(granted_on, ACCESSOR, ANN.member)
    assert iam.allows(ANN, ACCESS, f"{SECRET}/versions/1") is allowed


def test_locations_are_no_level_of_their_own(iam: Iam) -> None:
    assert list(iam.ancestors("projects/p/locations/r/services/s")) == [
        "projects/p/locations/r/services/s",
        "projects/p",
    ]


def test_a_bucket_belongs_to_its_project(iam: Iam) -> None:
    iam.add_binding("projects/p", "roles/storage.objectViewer", ANN.member)
    assert not iam.allows(ANN, "storage.objects.get", "projects/_/buckets/media")
    iam.place("projects/_/buckets/", lambda resource: "p" if resource.split("/")[3] == "media" else None)
    assert iam.allows(ANN, "storage.objects.get", "projects/_/buckets/media")
    assert iam.allows(ANN, "storage.objects.get", "projects/_/buckets/media/objects/a/b")


@pytest.mark.parametrize(
    ("member", "ann", "account", "anonymous"),
    [
        ("user:ann@example.com", True, False, False),
        ("domain:example.com", True, False, False),
        ("allAuthenticatedUsers", True, True, False),
        ("allUsers", True, True, True),
        ("serviceAccount:web@p.iam.gserviceaccount.com", False, True, False),
    ],
)
def test_members(iam: Iam, member: str, ann: bool, account: bool, anonymous: bool) -> None:
    iam.add_binding(SECRET, ACCESSOR, member)
    web = identity_of("web@p.iam.gserviceaccount.com")
    assert [iam.allows(who, ACCESS, SECRET) for who in (ANN, web, None)] == [ann, account, anonymous]


def test_convenience_members_stand_for_the_basic_roles_of_the_project(iam: Iam) -> None:
    bucket = "projects/_/buckets/media"
    iam.place("projects/_/buckets/", lambda resource: "p" if resource.split("/")[3] == "media" else None)
    iam.add_binding("projects/p", "roles/viewer", ANN.member)
    assert not iam.allows(ANN, "storage.objects.get", bucket)
    iam.add_binding(bucket, "roles/storage.legacyObjectReader", "projectViewer:q")
    assert not iam.allows(ANN, "storage.objects.get", bucket)
    iam.add_binding(bucket, "roles/storage.legacyObjectReader", "projectViewer:p")
    assert iam.allows(ANN, "storage.objects.get", bucket)


def test_a_refusal_names_permission_and_resource(iam: Iam) -> None:
    with pytest.raises(ApiError) as refused:
        iam.require(ANN, ACCESS, SECRET)
    assert refused.value.body("rpc") == {
        "error": {
            "code": 403,
            "status": "PERMISSION_DENIED",
            "message": f"Permission '{ACCESS}' denied on resource '{SECRET}' (or it may not exist).",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "IAM_PERMISSION_DENIED",
                    "domain": "iam.googleapis.com",
                    "metadata": {"permission": ACCESS, "resource": SECRET},
                }
            ],
        }
    }


def test_a_policy_without_conditions_is_of_version_1_whatever_was_sent(iam: Iam) -> None:
    plain = {"role": ACCESSOR, "members": ["user:a@example.com"]}
    assert iam.set_policy(SECRET, {"version": 3, "bindings": [plain]})["version"] == 1


def test_of_two_writers_with_one_etag_the_second_is_refused(iam: Iam) -> None:
    first, second = iam.get_policy(SECRET), iam.get_policy(SECRET)
    first["bindings"] = [{"role": ACCESSOR, "members": ["user:a@example.com"]}]
    second["bindings"] = [{"role": ACCESSOR, "members": ["user:b@example.com"]}]
    written = iam.set_policy(SECRET, first)
    with pytest.raises(ApiError) as refused:
        iam.set_policy(SECRET, second)
    assert (refused.value.code, refused.value.status) == (409, "ABORTED")
    assert refused.value.message == (
        "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff. "
        f"The request's ETag '{first['etag']}' did not match the current policy's ETag '{written['etag']}'."
    )
    assert iam.get_policy(SECRET) == written


def test_writing_what_is_there_changes_no_etag(iam: Iam) -> None:
    iam.add_binding(SECRET, ACCESSOR, ANN.member)
    policy = iam.get_policy(SECRET)
    assert iam.set_policy(SECRET, policy) == policy


def test_an_etag_is_not_used_again_for_an_earlier_policy(iam: Iam) -> None:
    empty = iam.get_policy(SECRET)
    iam.add_binding(SECRET, ACCESSOR, ANN.member)
    again = iam.set_policy(SECRET, {"bindings": []})
    assert again.get("bindings") is None
    assert again["etag"] != empty["etag"]


def test_bindings_of_one_role_are_merged_and_empty_ones_dropped(iam: Iam) -> None:
    bindings = [
        {"role": ACCESSOR, "members": ["user:b@example.com"]},
        {"role": ACCESSOR, "members": ["user:a@example.com", "user:b@example.com"]},
        {"role": "roles/viewer", "members": []},
    ]
    assert iam.set_policy(SECRET, {"bindings": bindings})["bindings"] == [
        {"role": ACCESSOR, "members": ["user:a@example.com", "user:b@example.com"]}
    ]


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        (
            {"role": "roles/none", "members": ["allUsers"]},
            "Role roles/none is not supported for this resource.",
        ),
        (
            {"role": ACCESSOR, "members": ["ann@example.com"]},
            "Invalid member 'ann@example.com': the member type or identifier is malformed.",
        ),
        (
            {"role": ACCESSOR, "members": ["serviceAccount:nobody@p.iam.gserviceaccount.com"]},
            "Service account nobody@p.iam.gserviceaccount.com does not exist.",
        ),
        (
            {"role": ACCESSOR, "members": ["allUsers"], "condition": {"expression": "true"}},
            f"The emulator does not evaluate IAM conditions (binding of {ACCESSOR}); it refuses them rather than "
            "ignore them.",
        ),
    ],
)
def test_policies_that_make_no_sense_are_refused(iam: Iam, binding: dict[str, object], message: str) -> None:
    with pytest.raises(ApiError) as refused:
        iam.set_policy(SECRET, {"bindings": [binding]})
    assert (refused.value.code, refused.value.message) == (400, message)
    assert "bindings" not in iam.get_policy(SECRET)


@pytest.mark.parametrize(
    ("role", "resource", "fits"),
    [
        ("roles/run.admin", "projects/p", True),
        ("roles/run.admin", "projects/_/buckets/media", False),
        ("roles/run.invoker", "projects/p/locations/r/services/s", True),
        ("roles/storage.objectViewer", "projects/_/buckets/media", True),
        ("roles/storage.objectViewer", SECRET, False),
        ("roles/run.builder", "projects/p/locations/r/repositories/images", True),
        ("roles/iam.serviceAccountUser", "projects/p/serviceAccounts/a@p.iam.gserviceaccount.com", True),
        (
            "roles/secretmanager.secretAccessor",
            "projects/p/serviceAccounts/a@p.iam.gserviceaccount.com",
            False,
        ),
        ("roles/viewer", SECRET, True),
        ("roles/orgpolicy.policyAdmin", "projects/p", False),
        ("roles/orgpolicy.policyAdmin", "folders/1", False),
        ("roles/orgpolicy.policyAdmin", "organizations/1", True),
        ("roles/orgpolicy.policyViewer", "projects/p", True),
        ("roles/resourcemanager.projectCreator", "projects/p", False),
        ("roles/resourcemanager.projectCreator", "folders/1", True),
        ("roles/resourcemanager.organizationAdmin", "projects/p", True),
        ("roles/billing.viewer", "projects/p", False),
        ("roles/billing.viewer", "folders/1", False),
        ("roles/billing.viewer", "billingAccounts/A", True),
        ("roles/billing.viewer", "organizations/1", True),
        ("roles/billing.viewer", "projects/_/buckets/media", False),
        ("roles/billing.projectManager", "projects/p", True),
        ("roles/iam.roleAdmin", "organizations/1", False),
        ("roles/iam.roleAdmin", "projects/p", True),
        ("roles/iam.organizationRoleAdmin", "organizations/1", True),
    ],
)
def test_a_role_is_bound_where_it_gives_something(iam: Iam, role: str, resource: str, fits: bool) -> None:
    assert role_fits(role, resource) is fits
    policy = {"bindings": [{"role": role, "members": [ANN.member]}]}
    if fits:
        assert iam.set_policy(resource, policy)["bindings"] == policy["bindings"]
    else:
        with pytest.raises(ApiError, match=f"Role {role} is not supported for this resource."):
            iam.set_policy(resource, policy)


def test_roles_for_certain_levels_are_predefined_ones_and_levels_exist() -> None:
    entries = read_yaml("engine/role_levels.yaml")["levels"]
    named = [f"roles/{role}" for entry in entries for role in entry["roles"]]
    assert len(named) == len(set(named))
    assert set(named) <= set(role_names())
    assert {level for entry in entries for level in entry["levels"]} <= {
        "organizations",
        "folders",
        "projects",
        "billingAccounts",
    }


def test_a_role_whose_permissions_are_not_known_is_bound_and_grants_nothing(iam: Iam) -> None:
    iam.add_binding("projects/p", "roles/firebasehosting.admin", ANN.member)
    assert not iam.allows(ANN, "firebasehosting.sites.update", "projects/p")
    with pytest.raises(ApiError, match="is not supported for this resource"):
        iam.add_binding("projects/p", "roles/firebasehosting.emperor", ANN.member)


@pytest.mark.parametrize(
    ("permission", "resource", "fits"),
    [
        ("cloudsql.instances.executeSql", "projects/p", True),
        ("cloudsql.instances.executesql", "projects/p", False),
        ("compute.instances.get", "projects/p", True),
        ("no.such", "projects/p", False),
        ("storage.*", "projects/p", False),
        ("resourcemanager.projects.list", "projects/p", False),
        ("resourcemanager.projects.list", "folders/1", True),
        ("secretmanager.versions.access", SECRET, True),
        ("run.services.get", SECRET, False),
    ],
)
def test_permissions_that_are_none_cannot_be_tested(
    iam: Iam, permission: str, resource: str, fits: bool
) -> None:
    assert permission_fits(permission, resource) is fits
    if fits:
        assert iam.test_permissions(ANN, [permission], resource) == []
    else:
        with pytest.raises(ApiError) as refused:
            iam.test_permissions(ANN, [permission], resource)
        assert (refused.value.code, refused.value.message) == (
            400,
            f"Permission {permission} is not valid for this resource.",
        )


def test_a_policy_that_nobody_has_written_has_an_etag_only(iam: Iam) -> None:
    assert iam.get_policy(SECRET) == {"etag": "ACAB"}
    written = iam.set_policy(SECRET, {"etag": "ACAB", "bindings": []})
    assert (set(written), written["version"]) == ({"etag", "version"}, 1)
    with pytest.raises(ApiError, match="concurrent policy changes"):
        iam.set_policy(SECRET, {"etag": "ACAB"})


def test_only_what_the_mask_names_is_written(iam: Iam) -> None:
    audited = [{"service": "allServices", "auditLogConfigs": [{"logType": "DATA_READ"}]}]
    iam.add_binding("projects/p", "roles/viewer", ANN.member)
    iam.set_policy("projects/p", {"auditConfigs": audited}, {"auditConfigs"})
    policy = iam.set_policy("projects/p", {"bindings": [{"role": "roles/editor", "members": [ANN.member]}]})
    assert (policy["auditConfigs"], policy["bindings"][0]["role"]) == (audited, "roles/editor")


class Tree:
    """Projects in one folder of one organisation; everybody may do everything in others."""

    def above(self, name: str) -> str | None:
        return {"projects/p": "folders/1", "folders/1": "organizations/2"}.get(name)

    def open(self, name: str) -> bool:
        return name == "organizations/3"


def test_what_is_granted_above_a_project_holds_in_it(iam: Iam) -> None:
    iam.hang(Tree())
    iam.add_binding("organizations/2", ACCESSOR, ANN.member)
    assert iam.allows(ANN, ACCESS, SECRET)
    assert not iam.allows(ANN, ACCESS, "projects/q/secrets/s")
    assert iam.policies_of("p") == []
    assert iam.allows(ANN, "logging.sinks.create", "organizations/3/sinks/s")
    assert not iam.allows(None, "logging.sinks.create", "organizations/3/sinks/s")
    assert not iam.allows(ANN, "logging.sinks.create", "organizations/2/sinks/s")


def test_forgetting_a_resource_drops_the_policies_below_it_too(iam: Iam) -> None:
    for name in (SECRET, f"{SECRET}/versions/1", "projects/p/secrets/s2"):
        iam.add_binding(name, ACCESSOR, ANN.member)
    iam.forget(SECRET)
    left = [
        name
        for name in (SECRET, f"{SECRET}/versions/1", "projects/p/secrets/s2")
        if "bindings" in iam.get_policy(name)
    ]
    assert left == ["projects/p/secrets/s2"]


def test_roles_grant_what_their_lists_say() -> None:
    assert role_has("roles/run.developer", "run.services.update")
    assert not role_has("roles/run.developer", "run.services.setIamPolicy")
    assert role_has("roles/run.admin", "run.services.setIamPolicy")
    assert not role_has("roles/editor", ACCESS)
    assert not role_has("roles/editor", "resourcemanager.projects.setIamPolicy")
    assert role_has("roles/owner", "anything.at.all")
    assert not role_has("roles/none", ACCESS)


def test_every_role_has_a_title_a_status_and_permissions() -> None:
    for name, role in read_yaml("engine/roles.yaml")["roles"].items():
        assert set(role) == {"title", "status", "permissions"}, name
        assert role["status"] in ("verified", "assumed"), name
        assert role_permissions(name), name


def test_the_names_of_roles_are_google_s() -> None:
    assert len(role_names()) > 2000
    assert all(name.startswith("roles/") for name in role_names())
    assert {"roles/owner", "roles/cloudbuild.builds.editor", "roles/compute.instanceAdmin.v1"} <= set(
        role_names()
    )
