"""Disks, images and snapshots, and what Compute Engine has without anybody having made it."""

from __future__ import annotations

import base64

import pytest

from emulator.tests.running import PROJECT
from emulator.tests.services.compute.conftest import API, LINKS, ZONE, Caller, refusal

GLOBAL = f"projects/{PROJECT}/global"


def test_public_images(caller: Caller) -> None:
    """Recorded: computeinstancegroup--computeinstancegroup."""
    newest = caller.get("projects/debian-cloud/global/images/family/debian-11")
    assert (newest["name"], newest["family"], newest["status"]) == (
        "debian-11-bullseye-v20231010",
        "debian-11",
        "READY",
    )
    assert newest["selfLink"] == f"{LINKS}/projects/debian-cloud/global/images/debian-11-bullseye-v20231010"
    assert refusal(caller.session.get(f"{API}/projects/debian-cloud/global/images/debian-11")) == (
        404,
        "notFound",
        "The resource 'projects/debian-cloud/global/images/debian-11' was not found",
    )
    for project, family in (("debian-cloud", "debian-13"), ("ubuntu-os-cloud", "ubuntu-2404-lts-amd64")):
        listed = caller.get(f"projects/{project}/global/images", filter=f'family = "{family}"')["items"]
        assert [one["family"] for one in listed] == [family]
    assert caller.session.get(f"{API}/projects/debian-cloud/zones/us-central1-a/disks").status_code == 403
    assert caller.session.delete(f"{API}/projects/debian-cloud/global/images/x").status_code == 403


def test_a_disk_of_an_image(caller: Caller) -> None:
    """Recorded: computeinstance--computeinstancefromtemplate-direct, computedisk--zonalcomputedisk."""
    disk = caller.make(
        f"{ZONE}/disks",
        name="data",
        sourceImage="projects/debian-cloud/global/images/family/debian-11",
        type=f"{ZONE}/diskTypes/pd-ssd",
    )
    assert disk["sourceImage"] == f"{LINKS}/projects/debian-cloud/global/images/debian-11-bullseye-v20231010"
    assert (disk["sourceImageId"], disk["sizeGb"], disk["status"]) == ("2443108620951880213", "10", "READY")
    assert (disk["physicalBlockSizeBytes"], disk["type"]) == ("4096", f"{ZONE}/diskTypes/pd-ssd")
    assert caller.make(f"{ZONE}/disks", name="plain")["type"] == f"{ZONE}/diskTypes/pd-standard"
    done = caller.post(f"{ZONE}/disks/data/resize", {"sizeGb": "12"}).json()
    assert done["status"] == "DONE"
    assert caller.get(f"{ZONE}/disks/data")["sizeGb"] == "12"
    smaller = caller.post(f"{ZONE}/disks/data/resize", {"sizeGb": "11"})
    assert "must be larger than existing size '12' GB" in refusal(smaller)[2]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"sourceImage": "projects/debian-cloud/global/images/family/debian-1"},
            "Invalid value for field 'resource.sourceImage': 'projects/debian-cloud/global/images/family/debian-1'. The referenced image "
            "resource cannot be found.",
        ),
        (
            {"sourceImage": "family/debian-12"},
            "Invalid value for field 'resource.sourceImage': 'family/debian-12'. The URL is malformed.",
        ),
        (
            {"type": f"{ZONE}/diskTypes/floppy"},
            f"Invalid value for field 'resource.type': '{ZONE}/diskTypes/floppy'. The referenced diskType resource cannot be found.",
        ),
        (
            {"sourceImage": "projects/debian-cloud/global/images/family/debian-12", "sizeGb": "5"},
            "Invalid value for field 'resource.sizeGb': '5'. Requested disk size cannot be smaller than the image size (10 GB)",
        ),
    ],
)
def test_disks_that_are_refused(caller: Caller, given: dict[str, str], message: str) -> None:
    assert refusal(caller.post(f"{ZONE}/disks", {"name": "data", **given})) == (400, "invalid", message)


def test_a_key_is_not_told_again(caller: Caller) -> None:
    secret = base64.b64encode(b"Hello from Google Cloud Platform").decode()
    disk = caller.make(f"{ZONE}/disks", name="locked", diskEncryptionKey={"rawKey": secret})
    assert set(disk["diskEncryptionKey"]) == {"sha256"}


def test_own_images_and_snapshots(caller: Caller) -> None:
    caller.make(f"{ZONE}/disks", name="data", sizeGb="30")
    caller.do(f"{ZONE}/disks/data/createSnapshot", {"name": "evening"})
    snapshot = caller.get(f"{GLOBAL}/snapshots/evening")
    assert (snapshot["diskSizeGb"], snapshot["sourceDisk"]) == ("30", f"{LINKS}/{ZONE}/disks/data")
    image = caller.make(f"{GLOBAL}/images", name="golden", family="site", sourceDisk=f"{ZONE}/disks/data")
    # Recorded: computeinstance--computeinstancefromtemplate-direct.
    assert (image["sourceDisk"], image["sourceType"], image["status"]) == (
        f"{ZONE}/disks/data",
        "RAW",
        "READY",
    )
    assert image["storageLocations"] == ["us"]
    assert caller.get(f"{GLOBAL}/images/family/site")["name"] == "golden"
    both = {
        "name": "both",
        "sourceDisk": f"{ZONE}/disks/data",
        "sourceSnapshot": f"{GLOBAL}/snapshots/evening",
    }
    assert refusal(caller.post(f"{GLOBAL}/images", both))[2] == (
        "Invalid resource usage: 'Must specify exactly one source for an image.'"
    )
    caller.delete(f"{ZONE}/disks/data")
    assert (
        caller.make(f"{ZONE}/disks", name="again", sourceSnapshot=f"{GLOBAL}/snapshots/evening")["sizeGb"]
        == "30"
    )


def test_machine_types_disk_types_and_platforms(caller: Caller) -> None:
    small = caller.get(f"{ZONE}/machineTypes/e2-small")
    assert (small["guestCpus"], small["memoryMb"], small["isSharedCpu"]) == (2, 2048, True)
    assert caller.get(f"{ZONE}/machineTypes/n2-standard-4")["memoryMb"] == 16384
    assert caller.get(f"{ZONE}/machineTypes/e2-custom-4-8192")["guestCpus"] == 4
    assert caller.session.get(f"{API}/{ZONE}/machineTypes/e2-standard-3").status_code == 404
    assert len(caller.get(f"{ZONE}/machineTypes")["items"]) > 50
    assert "pd-balanced" in [one["name"] for one in caller.get(f"{ZONE}/diskTypes")["items"]]
    assert caller.get(f"{ZONE}/diskTypes/pd-ssd")["zone"] == f"{LINKS}/{ZONE}"
    # Recorded: computeinstancegroup--computeinstancegroup.
    assert "Intel Skylake" in caller.get(ZONE)["availableCpuPlatforms"]
