"""The module release_parts_info: what of a release is still there."""

from __future__ import annotations

from tests.integration.cloud import PROJECT, REGION, Cloud

SECRETS = f"secretmanager.googleapis.com/v1/projects/{PROJECT}/secrets"


def test_what_is_gone_of_a_release_is_told_and_each_part_is_looked_for_once(cloud: Cloud, image: str) -> None:
    cloud.ok("secretmanager_secrets", secrets=[{"name": "parts-key", "generate": {}}])
    gone = f"{REGION}-docker.pkg.dev/{PROJECT}/djangogcp/app@sha256:{'0' * 64}"
    releases = [
        {"number": 3, "image": image, "secret_versions": {"parts-key": 1}},
        {"number": 2, "image": gone, "secret_versions": {"parts-key": "1", "parts-absent": "4"}},
    ]
    assert cloud.ok("release_parts_info", releases=releases)["releases"] == [
        {"number": 3, "missing": []},
        {"number": 2, "missing": [f"image {gone} is gone", "version 4 of secret parts-absent is gone"]},
    ]

    cloud.api(f"{SECRETS}/parts-key/versions/1:disable", method="POST", body={})
    found = cloud.ok("release_parts_info", releases=releases[:1])["releases"]
    assert found == [{"number": 3, "missing": ["version 1 of secret parts-key is disabled"]}]
    cloud.api(f"{SECRETS}/parts-key/versions/1:enable", method="POST", body={})
    assert cloud.ok("release_parts_info", releases=[])["releases"] == []
