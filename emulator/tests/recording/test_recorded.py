"""What Google Cloud really said, held against the emulator.

``RECORDED_CONVERSATIONS`` names a folder with ``SERVICE/NAME.json`` (`gcp_emulator.recording.form`). The recordings are kept elsewhere; how much
of them agrees is kept here, and never falls.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from gcp_emulator.recording.check import agreement, replay, report
from gcp_emulator.recording.form import load

_FOLDER = os.environ.get("RECORDED_CONVERSATIONS")
#: By folder the share of exchanges that agree, in percent. What does not agree, and stays so (docs/decisions/0033), with the paths in
#: https://github.com/GoogleCloudPlatform/k8s-config-connector of a mock that answers the same:
#:
#: * certificatemanager: an operation that tells another record for the zone than its authorization does when it is read.
#: * compute: an instance template that is not found when it has just been made, and one whose deletion was not recorded; links that stay as they were
#:   written when they are patched, and lists that are appended to; a region in ``global``, and operations of a zone there; the raw key of a disk, told
#:   again (mockgcp/mockcompute answers so); a disk of 500 GB where the image has 10; a machine type that changes while the machine runs; the
#:   private key of a certificate, told again (mockgcp/mockcertificatemanager; the discovery document says that it is only taken in).
#: * logging, pubsub, run, storage: an empty bucket's objects, in folders that nobody made, told without a delimiter
#:   (mockgcp/mockstorage/objects.go answers so for every bucket; gcloud takes every prefix for a folder).
#: * pubsub: a subscription that was just made is not found once, which only the realistic profile imitates.
#: * run: a PATCH that leaves the labels, or the binary authorization, that it replaces (mockgcp/mockrun/job.go).
#: * secretmanager, serviceusage: the type of a service identity is ``mockgcp.api...`` (mockgcp/mockserviceusage/serviceusagev1beta1.go, whose
#:   messages are renamed from ``google.api``), which a client that reads types does not know.
#: * sql: the operation of a user's update links to an instance of no project (mockgcp/mocksql/sqluser.go stores the body, which names none).
AT_LEAST = {
    "artifactregistry": 100.0,
    "certificatemanager": 86.0,
    "compute": 92.0,
    "iam": 100.0,
    "logging": 98.0,
    "orgpolicy": 100.0,
    "pubsub": 92.0,
    "run": 91.0,
    "secretmanager": 96.0,
    "servicenetworking": 100.0,
    "serviceusage": 0.0,
    "sql": 99.0,
    "storage": 93.0,
}


@pytest.mark.skipif(not _FOLDER, reason="RECORDED_CONVERSATIONS names no folder with recordings")
def test_the_emulator_answers_as_google_did(tmp_path: Path) -> None:
    conversations = [one for one in load(Path(_FOLDER or "")) if one.name.partition("/")[0] in AT_LEAST]
    outcomes = asyncio.run(replay(conversations, tmp_path / "state"))
    found = {folder: 100 * agree / total for folder, (agree, total) in agreement(outcomes).items()}
    told = report(outcomes)
    print(told)
    assert {name: share for name, share in found.items() if share < AT_LEAST[name]} == {}, told
