"""Twenty sites of one project, with the names and grants of the roles: a site's builds reach its own sources and images, and no other's."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest
import requests
import yaml
from ansible_collections.org.djangogcp.plugins.filter.shared_problems import shared_problems
from ansible_collections.org.djangogcp.plugins.lookup.other_sites import role_defaults, with_defaults

from tests.integration.cloud import OWNER, PROJECT, REGION, Cloud
from tests.integration.test_in_process import COLLECTION

SITES = [f"apart-{number}" for number in range(20)]
STORAGE = "https://storage.googleapis.com"
REGISTRY = f"https://artifactregistry.googleapis.com/v1/projects/{PROJECT}/locations/{REGION}/repositories"


def names_of(site: str) -> dict[str, Any]:
    """The site's variables as the roles default them."""
    defaults = role_defaults()
    given = {"djangogcp_project": PROJECT, "djangogcp_region": REGION}
    names = [*given, "djangogcp_site", "djangogcp_repository", "djangogcp_source_bucket"]
    return with_defaults(site, given, names, defaults)


def grants_of(role: str, site: str) -> list[dict[str, Any]]:
    """What a role grants for the site's builds."""
    written = yaml.safe_load((COLLECTION / "roles" / role / "vars/main.yml").read_text("utf-8"))
    names = names_of(site)
    if account := written.get("__image_build_account"):
        names["__image_build_account"] = jinja2.Template(account).render(names)
    text = jinja2.Template(yaml.safe_dump(written[f"__{role}_grants"])).render(names)
    found: list[dict[str, Any]] = yaml.safe_load(text)
    return found


@pytest.fixture(scope="module")
def sites(cloud: Cloud) -> dict[str, requests.Session]:
    """For each site the calls of its build account, after a source and an image of it are there."""
    names = {site: names_of(site) for site in SITES}
    cloud.ok("iam_service_accounts", service_accounts=[{"name": f"{site}-build"} for site in SITES])
    buckets = [{"name": one["djangogcp_source_bucket"], "location": REGION} for one in names.values()]
    cloud.ok("storage_buckets", buckets=buckets)
    for one in names.values():
        cloud.ok("artifactregistry_repository", name=one["djangogcp_repository"], location=REGION)
        upload = f"storage.googleapis.com/upload/storage/v1/b/{one['djangogcp_source_bucket']}/o"
        cloud.api(f"{upload}?uploadType=media&name=source.tar.gz", method="POST", body={})
    members = [grant for site in SITES for role in ("image", "registry") for grant in grants_of(role, site)]
    cloud.ok("iam_members", members=members)
    return {
        site: cloud.running.session(f"serviceAccount:{site}-build@{PROJECT}.iam.gserviceaccount.com")
        for site in SITES
    }


def test_their_names_are_their_own(cloud: Cloud) -> None:
    assert shared_problems([names_of(site) for site in SITES]) == []


@pytest.mark.parametrize("site", SITES)
def test_its_builds_read_its_own_sources_only(sites: dict[str, requests.Session], site: str) -> None:
    for other in SITES:
        objects = f"{STORAGE}/storage/v1/b/{names_of(other)['djangogcp_source_bucket']}/o"
        expected = 200 if other == site else 403
        for url in (objects, f"{objects}/source.tar.gz?alt=media"):
            assert sites[site].get(url).status_code == expected, url


@pytest.mark.parametrize("site", SITES)
def test_its_builds_reach_its_own_images_only(sites: dict[str, requests.Session], site: str) -> None:
    push = "artifactregistry.repositories.uploadArtifacts"
    for other in SITES:
        repository = f"{REGISTRY}/{names_of(other)['djangogcp_repository']}"
        asked = {"permissions": [push, "artifactregistry.tags.update"]}
        held = sites[site].post(f"{repository}:testIamPermissions", json=asked).json()
        assert held == (asked if other == site else {}), other
        # Allowed, it is refused only because nothing is in the repository yet.
        moved = sites[site].patch(f"{repository}/packages/{other}/tags/t?updateMask=version", json={})
        assert moved.status_code == (404 if other == site else 403), other


def test_a_build_of_one_site_cannot_be_made_of_the_source_of_another(
    cloud: Cloud, sites: dict[str, requests.Session]
) -> None:
    one, other = SITES[:2]
    owner = cloud.running.session(f"user:{OWNER}")
    url = f"https://cloudbuild.googleapis.com/v1/projects/{PROJECT}/locations/{REGION}/builds"
    account = f"projects/{PROJECT}/serviceAccounts/{one}-build@{PROJECT}.iam.gserviceaccount.com"
    for site, status in ((one, 200), (other, 400)):
        source = {"bucket": names_of(site)["djangogcp_source_bucket"], "object": "source.tar.gz"}
        build = {
            "source": {"storageSource": source},
            "steps": [{"name": "gcr.io/cloud-builders/docker", "args": ["version"]}],
            "serviceAccount": account,
            "options": {"logging": "CLOUD_LOGGING_ONLY"},
        }
        answer = owner.post(url, json=build)
        assert answer.status_code == status, answer.text
        assert ("could not resolve source" in answer.text) is (site == other)
