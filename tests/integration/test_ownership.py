"""Marks: what somebody else made, or another site, is refused, used as it is, and never deleted. One case for each kind of resource."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.integration.cloud import PROJECT, REGION, Cloud, until

MARK = {"site": "polls", "region": REGION}
OTHER = {"site": "shop", "region": REGION}
STORAGE = "storage.googleapis.com/storage/v1/b"
SECRETS = f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"
REPOSITORIES = f"artifactregistry.googleapis.com/v1/projects/{PROJECT}/locations/{REGION}/repositories"
ACCOUNTS = f"iam.googleapis.com/v1/projects/{PROJECT}/serviceAccounts"
SERVICES = f"run.googleapis.com/v2/projects/{PROJECT}/locations/{REGION}/services"
JOBS = f"run.googleapis.com/v2/projects/{PROJECT}/locations/{REGION}/jobs"
INSTANCES = f"sqladmin.googleapis.com/v1/projects/{PROJECT}/instances"
COMPUTE = f"compute.googleapis.com/compute/v1/projects/{PROJECT}"
NETWORK = f"projects/{PROJECT}/global/networks/shared"
SUBNETWORK = f"projects/{PROJECT}/regions/{REGION}/subnetworks/shared"
ZONE = f"{REGION}-a"
BOOT_IMAGE = "projects/debian-cloud/global/images/family/debian-12"


@dataclass(frozen=True)
class Kind:
    """A kind of resource.

    Attributes:
        kind: its name in ownership_info.
        module: the module that makes it.
        label: what messages call it, with {name}.
        make: makes one by direct calls, as somebody else would.
        url: where it is, with {name}.
        options: the options that make it other than ``make`` does; with ``state`` absent those that delete it.
        extra: further options of ownership_info.
        keeps_mark: whether the mark stays that of the site's former name, because Google cannot change it.
    """

    kind: str
    module: str
    label: str
    make: Callable[[Cloud, str], Any]
    url: str
    options: Callable[[str, str], dict[str, Any]]
    extra: dict[str, Any] = field(default_factory=dict)
    keeps_mark: bool = False


def _operation(cloud: Cloud, host: str, answer: dict[str, Any]) -> None:
    if not answer.get("done"):
        until(lambda: bool(cloud.api(f"{host}/{answer['name']}").get("done")))


def _bucket(cloud: Cloud, name: str) -> None:
    body = {"name": name, "labels": {"team": "data"}, "versioning": {"enabled": True}}
    cloud.api(f"{STORAGE}?project={PROJECT}", method="POST", body=body)


def _secret(cloud: Cloud, name: str) -> None:
    body = {"replication": {"automatic": {}}, "labels": {"team": "data"}}
    cloud.api(f"{SECRETS}?secretId={name}", method="POST", body=body)


def _repository(cloud: Cloud, name: str) -> None:
    body = {"format": "DOCKER", "labels": {"team": "data"}}
    answer = cloud.api(f"{REPOSITORIES}?repositoryId={name}", method="POST", body=body)
    _operation(cloud, "artifactregistry.googleapis.com/v1", answer)


def _account(cloud: Cloud, name: str) -> None:
    body = {"accountId": name, "serviceAccount": {"displayName": "Data", "description": "of the data team"}}
    cloud.api(ACCOUNTS, method="POST", body=body)


def _database(cloud: Cloud, name: str) -> None:
    cloud.api(f"{INSTANCES}/shared/databases", method="POST", body={"name": name})


def _user(cloud: Cloud, name: str) -> None:
    cloud.api(f"{INSTANCES}/shared/users", method="POST", body={"name": name, "password": "theirs-1234"})


def _in_network(place: str, **body: Any) -> Callable[[Cloud, str], None]:
    """What makes something of Compute Engine, beside a network that is shared."""

    def make(cloud: Cloud, name: str) -> None:
        cloud.ok("compute_network", name="shared")
        cloud.ok(
            "compute_subnetwork", name="shared", network="shared", ip_cidr_range="10.60.0.0/24", region=REGION
        )
        answer = cloud.api(f"{COMPUTE}/{place}", method="POST", body={"name": name, **body})
        operation = str(answer["selfLink"]).partition("/compute/")[2]
        until(lambda: cloud.api(f"compute.googleapis.com/compute/{operation}")["status"] == "DONE")

    return make


def _state(name: str, state: str, **options: Any) -> dict[str, Any]:
    return {"name": name, "state": state, **(options if state == "present" else {})}


def subnetwork_range(name: str) -> str:
    """One for each, and for that of somebody else the same as theirs."""
    return f"10.{61 + ['foreign', 'adopted', 'others', 'own'].index(name.partition('-')[0])}.0.0/24"


def _subnetwork(cloud: Cloud, name: str) -> None:
    body = {"network": NETWORK, "ipCidrRange": subnetwork_range(name), "privateIpGoogleAccess": False}
    _in_network(f"regions/{REGION}/subnetworks", **body)(cloud, name)


KINDS = [
    Kind(
        "bucket",
        "storage_buckets",
        "bucket {name}",
        _bucket,
        STORAGE + "/{name}",
        lambda name, state: {"buckets": [_state(name, state, versioning=False, labels={"a": "b"})]},
    ),
    Kind(
        "secret",
        "secretmanager_secrets",
        "secret {name}",
        _secret,
        SECRETS + "/{name}",
        lambda name, state: {"secrets": [_state(name, state, labels={"a": "b"}, annotations={"c": "d"})]},
    ),
    Kind(
        "artifact_repository",
        "artifactregistry_repository",
        "repository {name}",
        _repository,
        REPOSITORIES + "/{name}",
        lambda name, state: {
            "location": REGION,
            **_state(name, state, description="mine", labels={"a": "b"}),
        },
        {"location": REGION},
    ),
    Kind(
        "service_account",
        "iam_service_accounts",
        "service account {name}",
        _account,
        ACCOUNTS + "/{name}@" + f"{PROJECT}.iam.gserviceaccount.com",
        lambda name, state: {"service_accounts": [_state(name, state, display_name="mine")]},
    ),
    Kind(
        "sql_database",
        "sql_database",
        "SQL database {name}",
        _database,
        INSTANCES + "/shared/databases/{name}",
        lambda name, state: {"instance": "shared", "claim_secret": "claims", **_state(name, state)},
        {"instance": "shared", "claim_secret": "claims"},
    ),
    Kind(
        "sql_user",
        "sql_users",
        "SQL user {name}",
        _user,
        INSTANCES + "/shared/users/{name}",
        lambda name, state: {"instance": "shared", "claim_secret": "claims", "users": [_state(name, state)]},
        {"instance": "shared", "claim_secret": "claims"},
    ),
    Kind(
        "compute_network",
        "compute_network",
        "network {name}",
        _in_network("global/networks", autoCreateSubnetworks=False),
        COMPUTE + "/global/networks/{name}",
        lambda name, state: _state(name, state, routing_mode="GLOBAL"),
        keeps_mark=True,
    ),
    Kind(
        "compute_subnetwork",
        "compute_subnetwork",
        "subnetwork {name}",
        _subnetwork,
        COMPUTE + f"/regions/{REGION}/subnetworks/{{name}}",
        lambda name, state: {
            "region": REGION,
            **_state(name, state, network="shared", ip_cidr_range=subnetwork_range(name)),
        },
        {"location": REGION},
        keeps_mark=True,
    ),
    Kind(
        "compute_router",
        "compute_router",
        "router {name}",
        _in_network(f"regions/{REGION}/routers", network=NETWORK),
        COMPUTE + f"/regions/{REGION}/routers/{{name}}",
        lambda name, state: {
            "region": REGION,
            **_state(name, state, network="shared", nats=[{"name": "nat"}]),
        },
        {"location": REGION},
    ),
    Kind(
        "compute_firewall",
        "compute_firewall",
        "firewall rule {name}",
        _in_network(
            "global/firewalls",
            network=NETWORK,
            sourceRanges=["10.0.0.0/8"],
            allowed=[{"IPProtocol": "tcp"}],
        ),
        COMPUTE + "/global/firewalls/{name}",
        lambda name, state: _state(
            name,
            state,
            network="shared",
            source_ranges=["192.0.2.0/24"],
            allowed=[{"ip_protocol": "tcp", "ports": ["443"]}],
        ),
    ),
    Kind(
        "compute_address",
        "compute_address",
        "address {name}",
        _in_network(f"regions/{REGION}/addresses", labels={"team": "data"}),
        COMPUTE + f"/regions/{REGION}/addresses/{{name}}",
        lambda name, state: {"region": REGION, **_state(name, state, labels={"a": "b"})},
        {"location": REGION},
    ),
    Kind(
        "compute_instance",
        "compute_instance",
        "instance {name}",
        _in_network(
            f"zones/{ZONE}/instances",
            machineType=f"zones/{ZONE}/machineTypes/e2-small",
            disks=[{"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": BOOT_IMAGE}}],
            networkInterfaces=[{"subnetwork": SUBNETWORK}],
            labels={"team": "data"},
        ),
        COMPUTE + f"/zones/{ZONE}/instances/{{name}}",
        lambda name, state: {
            "zone": ZONE,
            **_state(
                name,
                state,
                machine_type="e2-small",
                boot_image=BOOT_IMAGE,
                subnetwork=SUBNETWORK,
                labels={"a": "b"},
                tags=["mine"],
            ),
        },
        {"location": ZONE},
    ),
]


#: Nobody can log in as somebody else's user without changing it.
ADOPTABLE = [kind for kind in KINDS if kind.kind != "sql_user"]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.kind)
def kind(request: pytest.FixtureRequest, cloud: Cloud, sql_instance: str) -> Kind:
    for site, mark in (("", MARK), ("-other", OTHER)):
        cloud.ok("secretmanager_secrets", secrets=[{"name": f"claims{site}"}], mark=mark)
    return request.param


def _stable(resource: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key not in ("etag", "updateTime")}


def _owners(cloud: Cloud, kind: Kind, name: str, mark: dict[str, Any], **options: Any) -> dict[str, Any]:
    asked = {"type": kind.kind, "name": name, "mark": mark, **kind.extra}
    return cloud.ok("ownership_info", resources=[asked], **options).values


def test_what_somebody_else_made_is_refused_and_stays_as_it_is(cloud: Cloud, kind: Kind) -> None:
    name = f"foreign-{kind.kind}".replace("_", "-")[:30]
    kind.make(cloud, name)
    before = cloud.api(kind.url.format(name=name))

    message = cloud.error(kind.module, mark=MARK, **kind.options(name, "present"))
    label = kind.label.format(name=name)
    assert message.startswith(f"Failed to use {label}: somebody else made it, it carries no mark"), message
    assert ("djangogcp_adopt" in message) == (kind.kind != "sql_user")
    assert "Nothing of it was changed" in message
    assert cloud.error(kind.module, check=True, mark=MARK, **kind.options(name, "present")) == message

    left = cloud.ok(kind.module, mark=MARK, **kind.options(name, "absent"))
    assert left["changed"] is False
    assert f"The {label} was left alone: it is not this site's own." in left.text
    assert cloud.api(kind.url.format(name=name)) == before
    told = _owners(cloud, kind, name, MARK)
    told_of = told["resources"][0]
    assert told_of.pop("differences") == []
    assert told_of == {
        "resource": label,
        "exists": True,
        "owner": None,
        "made_by": "somebody else",
        "is_own": False,
        "is_adopted": False,
    }
    assert told["refused"][0]["reason"].startswith("somebody else made it")


@pytest.mark.parametrize("kind", ADOPTABLE, ids=lambda kind: kind.kind, indirect=True)
def test_what_is_adopted_is_used_as_it_is_and_never_deleted(cloud: Cloud, kind: Kind) -> None:
    name = f"adopted-{kind.kind}".replace("_", "-")[:30]
    label = kind.label.format(name=name)
    kind.make(cloud, name)
    before = cloud.api(kind.url.format(name=name))

    if kind.kind == "secret":
        url = f"{SECRETS}/{name}:addVersion"
        cloud.api(url, method="POST", body={"payload": {"data": "dGhlaXJzLTEyMzQ="}})
    used = cloud.ok(kind.module, mark=MARK, adopt=[label], explicit=[], **kind.options(name, "present"))
    assert used["changed"] is False
    left = cloud.ok(kind.module, mark=MARK, adopt=[label], **kind.options(name, "absent"))
    assert left["changed"] is False
    assert f"The {label} was left alone: it is not this site's own." in left.text
    assert cloud.api(kind.url.format(name=name)) == before
    told = _owners(cloud, kind, name, MARK, adopt=[label])
    assert (told["resources"][0]["is_adopted"], told["refused"]) == (True, [])


def test_what_another_site_made_is_refused_and_named(cloud: Cloud, kind: Kind) -> None:
    name = f"others-{kind.kind}".replace("_", "-")[:30]
    asked = kind.options(name, "present")
    if "claim_secret" in asked:
        asked["claim_secret"] = "claims-other"
    cloud.ok(kind.module, mark=OTHER, **asked)
    before = _stable(cloud.api(kind.url.format(name=name)))

    message = cloud.error(kind.module, mark=MARK, **kind.options(name, "present"))
    assert f"it belongs to the site shop in {REGION}." in message
    assert "djangogcp_former_site" in message
    assert cloud.ok(kind.module, mark=MARK, **kind.options(name, "absent"))["changed"] is False
    assert _stable(cloud.api(kind.url.format(name=name))) == before
    assert _owners(cloud, kind, name, MARK)["resources"][0]["owner"] == {**OTHER, "purpose": ""}

    # The same name in another region is another site, and a former name of the site is the site.
    if "claim_secret" not in asked:  # the secret itself is then refused
        elsewhere = cloud.error(kind.module, mark={**OTHER, "region": "europe-west1"}, **asked)
        assert "two sites of a project cannot have one name" in elsewhere
    renamed = {**MARK, "former_sites": ["shop"]}
    cloud.ok(kind.module, mark=renamed, **kind.options(name, "present"))
    known = renamed if kind.keeps_mark else MARK
    assert _owners(cloud, kind, name, known)["resources"][0]["is_own"] is True
    assert cloud.ok(kind.module, mark=known, **kind.options(name, "present"))["changed"] is False


def test_what_the_site_made_is_its_own_for_every_operator(cloud: Cloud, kind: Kind) -> None:
    name = f"own-{kind.kind}".replace("_", "-")[:30]
    asked = kind.options(name, "present")
    assert cloud.ok(kind.module, check=True, mark=MARK, **asked)["changed"] is True
    assert cloud.ok(kind.module, mark=MARK, **asked)["changed"] is True
    assert cloud.ok(kind.module, mark=MARK, **copy.deepcopy(asked))["changed"] is False
    assert _owners(cloud, kind, name, MARK)["resources"][0]["is_own"] is True
    assert cloud.ok(kind.module, mark=MARK, **kind.options(name, "absent"))["changed"] is True
    assert cloud.absent(kind.url.format(name=name))


def test_what_holds_private_files_never_becomes_public(cloud: Cloud) -> None:
    name = f"{PROJECT}-uploads"
    media = {"name": name, "purpose": "media", "public_access_prevention": "enforced"}
    static = {"name": name, "purpose": "static", "public_access_prevention": "inherited"}
    cloud.ok("storage_buckets", mark=MARK, buckets=[media])
    before = cloud.api(f"{STORAGE}/{name}")
    for adopt in ([], [f"bucket {name}"]):
        message = cloud.error("storage_buckets", mark=MARK, adopt=adopt, buckets=[static])
        assert f"it holds the media of the site polls in {REGION}, and that never changes" in message
    assert cloud.api(f"{STORAGE}/{name}") == before


@pytest.mark.parametrize("edited", ["static", None])
def test_a_label_that_was_edited_makes_nothing_public(cloud: Cloud, edited: str | None) -> None:
    name = f"{PROJECT}-edited-{edited}".lower()
    media = {
        "name": name,
        "purpose": "media",
        "public_access_prevention": "enforced",
        "versioning": True,
    }
    static = {"name": name, "purpose": "static", "public_access_prevention": "inherited"}
    cloud.ok("storage_buckets", mark=MARK, buckets=[media])
    cloud.api(f"{STORAGE}/{name}", method="PATCH", body={"labels": {"purpose": edited}})
    before = cloud.api(f"{STORAGE}/{name}")
    back = f"gcloud storage buckets update gs://{name} --update-labels=purpose=media"
    for asked in (media, static):
        assert back in cloud.error("storage_buckets", mark=MARK, adopt=[f"bucket {name}"], buckets=[asked])
        resource = {"type": "bucket", "name": name, "purpose": asked["purpose"], "mark": MARK}
        assert back in cloud.ok("ownership_info", resources=[resource])["refused"][0]["cure"]
    gone = {"name": name, "purpose": "static", "state": "absent", "force": True}
    assert cloud.ok("storage_buckets", mark=MARK, buckets=[gone])["changed"] is False
    assert cloud.api(f"{STORAGE}/{name}") == before
    cloud.api(f"{STORAGE}/{name}", method="PATCH", body={"labels": {"purpose": "media"}})
    assert cloud.ok("storage_buckets", mark=MARK, buckets=[media])["changed"] is False


def test_an_sql_user_is_not_adopted(cloud: Cloud, sql_instance: str) -> None:
    cloud.ok("secretmanager_secrets", secrets=[{"name": "claims"}], mark=MARK)
    _user(cloud, "bob")
    before = cloud.api(f"{INSTANCES}/shared/users/bob")
    asked = {"instance": "shared", "claim_secret": "claims", "users": [{"name": "bob", "database_roles": []}]}
    message = cloud.error("sql_users", mark=MARK, **asked)
    assert "somebody else made it" in message
    assert "djangogcp_adopt" not in message
    assert "adopt[0] is 'SQL user bob'" in cloud.error(
        "sql_users", mark=MARK, adopt=["SQL user bob"], **asked
    )
    assert cloud.api(f"{INSTANCES}/shared/users/bob") == before


def test_an_adopted_secret_keeps_its_value(cloud: Cloud) -> None:
    _secret(cloud, "their-key")
    secret = {"name": "their-key", "generate": {"length": 20}}
    adopted = {"mark": MARK, "adopt": ["secret their-key"], "explicit": [], "secrets": [secret]}
    assert "it is adopted, and its newest version is not enabled" in cloud.error(
        "secretmanager_secrets", **adopted
    )
    value = {"payload": {"data": "dGhlaXJzLTEyMzQ="}}
    cloud.api(f"{SECRETS}/their-key:addVersion", method="POST", body=value)
    kept = cloud.ok("secretmanager_secrets", **adopted)
    assert (kept["changed"], kept["secrets"][0]["version"]) == (False, "1")
    composed = {"name": "their-key", "template": "x{k}", "values_from": {"k": "claims"}}
    assert cloud.ok("secretmanager_secrets", **{**adopted, "secrets": [composed]})["changed"] is False
    assert cloud.secret_value("their-key") == "theirs-1234"


def test_an_adopted_job_keeps_its_labels(cloud: Cloud, image: str) -> None:
    body = {
        "labels": {"team": "data"},
        "template": {"template": {"containers": [{"image": image, "args": ["theirs"]}]}},
    }
    cloud.api(f"{JOBS}?jobId=adopted", method="POST", body=body)
    until(lambda: not cloud.api(f"{JOBS}/adopted").get("reconciling"))
    template = {"template": {"containers": [{"image": image, "args": ["ours"]}]}}
    job = {"name": "adopted", "labels": {}, "template": template}
    cloud.ok("run_jobs", mark=MARK, adopt=["job adopted"], location=REGION, jobs=[job])
    assert cloud.api(f"{JOBS}/adopted")["labels"] == {"team": "data"}


def test_what_is_adopted_must_be_as_it_has_to_be(cloud: Cloud) -> None:
    name = f"{PROJECT}-open"
    _bucket(cloud, name)
    asked = {
        "type": "bucket",
        "name": name,
        "purpose": "media",
        "mark": MARK,
        "required": {"public_access_prevention": "enforced"},
    }
    told = cloud.ok("ownership_info", resources=[asked], adopt=[f"bucket {name}"])
    assert (
        told["refused"][0]["reason"]
        == "it is adopted, and public_access_prevention is 'inherited', asked 'enforced'."
    )


def test_a_bucket_of_somebody_else_is_not_emptied(cloud: Cloud) -> None:
    name = f"{PROJECT}-others-full"
    _bucket(cloud, name)
    url = f"storage.googleapis.com/upload/storage/v1/b/{name}/o?uploadType=media&name=a"
    cloud.api(url, method="POST", body={"precious": True})
    asked = {"name": name, "purpose": "media", "state": "absent", "force": True}
    assert cloud.ok("storage_buckets", mark=MARK, buckets=[asked])["changed"] is False
    assert cloud.api(f"{STORAGE}/{name}/o/a")["name"] == "a"


COMPANY = {
    "name": "company-db",
    "region": REGION,
    "databaseVersion": "POSTGRES_15",
    "settings": {
        "tier": "db-custom-4-15360",
        "edition": "ENTERPRISE",
        "availabilityType": "REGIONAL",
        "databaseFlags": [{"name": "max_connections", "value": "400"}],
        "backupConfiguration": {
            "enabled": True,
            "startTime": "01:00",
            "pointInTimeRecoveryEnabled": True,
            "backupRetentionSettings": {"retainedBackups": 30},
        },
        "ipConfiguration": {"authorizedNetworks": [{"name": "office", "value": "198.51.100.0/24"}]},
        "deletionProtectionEnabled": True,
        "userLabels": {"team": "data"},
    },
}
INSTANCE = {
    "name": "company-db",
    "region": REGION,
    "tier": "db-custom-1-3840",
    "edition": "ENTERPRISE",
    "availability_type": "ZONAL",
    "database_flags": {"cloudsql.iam_authentication": "on"},
    "backup_configuration": {"enabled": True, "start_time": "03:00", "retained_backups": 7},
    "ip_configuration": {"ipv4_enabled": True, "authorized_networks": []},
    "data_api_access": "ALLOW_DATA_API",
    "deletion_protection_enabled": False,
}
NEEDED = ["region", "database_flags", "data_api_access"]


def _settings(cloud: Cloud) -> dict[str, Any]:
    settings = cloud.api(f"{INSTANCES}/company-db")["settings"]
    return {key: value for key, value in settings.items() if key != "settingsVersion"}


def test_an_instance_of_somebody_else_stays_as_it_is(cloud: Cloud) -> None:
    cloud.api(INSTANCES, method="POST", body=COMPANY)
    until(lambda: cloud.api(f"{INSTANCES}/company-db")["state"] == "RUNNABLE")
    before, mark = _settings(cloud), {**MARK, "sharing_sites": ["polls"]}

    message = cloud.error("sql_instance", mark=mark, explicit=NEEDED, **INSTANCE)
    for difference in (
        "tier is 'db-custom-4-15360', asked 'db-custom-1-3840'",
        "availability_type is 'REGIONAL', asked 'ZONAL'",
        "backup_configuration.retained_backups is 30, asked 7",
        "deletion_protection_enabled is True, asked False",
    ):
        assert difference in message
    assert _settings(cloud) == before

    # Adopted, it gets what is needed, and what a person has set; everything else of it stays.
    adopted = {"mark": mark, "adopt": ["SQL instance company-db"], **INSTANCE}
    explicit = [*NEEDED, "backup_configuration.retained_backups"]
    planned = cloud.ok("sql_instance", check=True, explicit=explicit, **adopted)
    assert planned["diff"]["before"] == {
        "region": REGION,
        "data_api_access": "DISALLOW_DATA_API",
        "database_flags": {"max_connections": "400"},
        "backup_configuration": {"retained_backups": 30},
    }
    cloud.ok("sql_instance", explicit=explicit, **adopted)
    after = _settings(cloud)
    flags = {flag["name"]: flag["value"] for flag in after.pop("databaseFlags")}
    assert flags == {"max_connections": "400", "cloudsql.iam_authentication": "on"}
    assert after.pop("dataApiAccess") == "ALLOW_DATA_API"
    assert after.pop("backupConfiguration")["backupRetentionSettings"]["retainedBackups"] == 7
    assert before["backupConfiguration"]["startTime"] == "01:00"
    assert after == {key: value for key, value in before.items() if key in after}
    assert after["userLabels"] == {"team": "data"}
    assert cloud.ok("sql_instance", explicit=explicit, **adopted)["changed"] is False
    assert cloud.ok("sql_instance", mark=mark, name="company-db", state="absent")["changed"] is False


def test_an_instance_is_described_by_the_site_that_made_it(cloud: Cloud) -> None:
    instance = {**INSTANCE, "name": "described", "database_version": "POSTGRES_17"}
    first = {**MARK, "sharing_sites": ["polls"]}
    cloud.ok("sql_instance", mark=first, **instance)
    before = cloud.api(f"{INSTANCES}/described")

    # Another site uses it, whatever the defaults are that it would have made one with.
    other = {"mark": {**OTHER, "sharing_sites": ["shop"]}, **instance, "tier": "db-f1-micro"}
    assert cloud.ok("sql_instance", explicit=NEEDED, **other)["changed"] is False
    # What a person says of it must agree.
    message = cloud.error("sql_instance", explicit=[*NEEDED, "tier"], **other)
    assert f"the site polls in {REGION} describes it, and this site says something else" in message
    assert "tier is 'db-custom-1-3840', asked 'db-f1-micro'" in message
    assert cloud.api(f"{INSTANCES}/described") == before

    # Sites of one run describe it together; it stays the one's that made it.
    together = {**OTHER, "sharing_sites": ["polls", "shop"]}
    cloud.ok("sql_instance", mark=together, **{**instance, "tier": "db-f1-micro"})
    after = cloud.api(f"{INSTANCES}/described")["settings"]
    assert (after["tier"], after["userLabels"]["site"]) == ("db-f1-micro", "polls")
    alone = {**OTHER, "sharing_sites": ["shop"]}
    assert cloud.ok("sql_instance", mark=alone, name="described", state="absent")["changed"] is False
    assert cloud.ok("sql_instance", mark=first, name="described", state="absent")["changed"] is True


def test_a_service_of_somebody_else_stays_private(cloud: Cloud, image: str) -> None:
    body = {
        "labels": {"team": "data"},
        "template": {
            "containers": [{"image": image, "env": [{"name": "GREETING", "value": "hush"}]}],
            "scaling": {"maxInstanceCount": 3},
        },
    }
    cloud.api(f"{SERVICES}?serviceId=private", method="POST", body=body)
    until(lambda: not cloud.api(f"{SERVICES}/private").get("reconciling"))
    before = cloud.api(f"{SERVICES}/private")
    asked = {
        "name": "private",
        "location": REGION,
        "invoker_iam_disabled": True,
        "template": {"containers": [{"image": image, "env": [{"name": "MINE", "value": "x"}]}]},
    }
    message = cloud.error("run_service", mark=MARK, **asked)
    assert "somebody else made it" in message
    assert "invoker_iam_disabled is not set, asked True" in message or "is False, asked True" in message
    assert "hush" not in message
    assert cloud.api(f"{SERVICES}/private") == before
    assert (
        cloud.ok("run_service", mark=MARK, name="private", location=REGION, state="absent")["changed"]
        is False
    )

    adopted = {"mark": MARK, "adopt": ["service private"], "explicit": ["template", "traffic"], **asked}
    first = cloud.ok("run_service", candidate_tag="candidate", **adopted)
    revision = first["candidate"]["revision"]
    again = cloud.ok("run_service", candidate_tag="candidate", **adopted)
    assert (again["changed"], again["candidate"]["revision"]) == (False, revision)
    traffic = [{"type": "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST", "percent": 100}]
    cloud.ok("run_service", name="private", location=REGION, traffic=traffic)
    assert cloud.ok("run_service", candidate_tag="candidate", **adopted)["changed"] is False
    after = cloud.api(f"{SERVICES}/private")
    assert not after.get("invokerIamDisabled")
    assert after["labels"] == {"team": "data"}
    names = {one["name"]: one["value"] for one in after["template"]["containers"][0]["env"]}
    assert names == {"MINE": "x", "GREETING": "hush"}
    assert after["template"]["scaling"]["maxInstanceCount"] == 3


def test_a_job_of_somebody_else_stays_as_it_is(cloud: Cloud, image: str) -> None:
    body = {"template": {"template": {"containers": [{"image": image, "args": ["precious"]}]}}}
    cloud.api(f"{JOBS}?jobId=theirs", method="POST", body=body)
    until(lambda: not cloud.api(f"{JOBS}/theirs").get("reconciling"))
    before = cloud.api(f"{JOBS}/theirs")
    template = {"template": {"containers": [{"image": image, "args": ["other"]}]}}
    asked = {"location": REGION, "jobs": [{"name": "theirs", "template": template}]}
    assert "somebody else made it" in cloud.error("run_jobs", mark=MARK, **asked)
    left = cloud.ok("run_jobs", mark=MARK, location=REGION, jobs=[{"name": "theirs", "state": "absent"}])
    assert left["changed"] is False
    assert cloud.api(f"{JOBS}/theirs") == before


def test_a_database_is_known_again_after_a_kill(cloud: Cloud, sql_instance: str) -> None:
    """The claim is written before the database is made: a run that is killed in between goes on."""
    cloud.ok("secretmanager_secrets", secrets=[{"name": "claims"}], mark=MARK)
    asked = {"instance": "shared", "name": "killed", "claim_secret": "claims", "mark": MARK}
    cloud.ok("sql_database", **asked)
    claims = cloud.api(f"{SECRETS}/claims")["annotations"]
    assert f"SQL database killed of {PROJECT}/shared" in claims.values()
    cloud.ok("sql_database", state="absent", **asked)
    assert (
        f"SQL database killed of {PROJECT}/shared"
        not in cloud.api(f"{SECRETS}/claims").get("annotations", {}).values()
    )


def test_a_claim_that_was_removed_is_written_back_by_hand(cloud: Cloud, sql_instance: str) -> None:
    cloud.ok("secretmanager_secrets", secrets=[{"name": "claims"}], mark=MARK)
    asked = {"instance": "shared", "claim_secret": "claims", "users": [{"name": "lost"}], "mark": MARK}
    cloud.ok("sql_users", **asked)
    secret = f"{SECRETS}/claims?updateMask=annotations"
    cloud.api(secret, method="PATCH", body={"annotations": {}})
    message = cloud.error("sql_users", **asked)
    command = "Only if this site made it and its claim was removed: gcloud secrets update claims --update-annotations="
    key, _, value = message.partition(command)[2].partition("=")
    assert value == f"'SQL user lost of {PROJECT}/shared'"
    cloud.api(secret, method="PATCH", body={"annotations": {key: value.strip("'")}})
    assert cloud.ok("sql_users", **asked)["changed"] is False


@pytest.mark.parametrize("labels", [{"site": None}, {"managed-by": None}, {"site": "shop"}, {"region": "x1"}])
def test_a_mark_that_was_edited_is_refused_with_a_way_out(cloud: Cloud, labels: dict[str, Any]) -> None:
    name = f"{PROJECT}-mark-{'-'.join(f'{key}-{value}'.lower() for key, value in labels.items())}"
    media = {"name": name, "public_access_prevention": "enforced"}
    cloud.ok("storage_buckets", mark=MARK, buckets=[media])
    cloud.api(f"{STORAGE}/{name}", method="PATCH", body={"labels": labels})
    before = cloud.api(f"{STORAGE}/{name}")
    message = cloud.error("storage_buckets", mark=MARK, buckets=[media])
    assert "Nothing of it was changed. " in message
    if None in labels.values():
        assert (
            f"its mark was removed or changed, set that back, as labels or in the description of a service account: managed-by=djangogcp site=polls region={REGION}"
            in message
        )
    else:
        assert "it belongs to the site" in message
    gone = {**media, "state": "absent", "force": True}
    assert cloud.ok("storage_buckets", mark=MARK, buckets=[gone])["changed"] is False
    assert cloud.api(f"{STORAGE}/{name}") == before
