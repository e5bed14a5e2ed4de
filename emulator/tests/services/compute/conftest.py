"""An emulator that keeps virtual machines as records, and how tests call it."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from emulator.tests.running import PROJECT, RunningEmulator

API = "https://compute.googleapis.com/compute/v1"
LINKS = "https://www.googleapis.com/compute/v1"
ZONE = f"projects/{PROJECT}/zones/us-central1-a"
IMAGE = "projects/debian-cloud/global/images/family/debian-12"


class Caller:
    """Calls Compute Engine in one project. Paths are without the host (``projects/P/zones/Z/instances``)."""

    def __init__(self, session: requests.Session) -> None:
        self.session = session

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        return self._ok(self.session.get(f"{API}/{path}", params=params))

    def post(self, path: str, body: Any = None, **params: Any) -> requests.Response:
        return self.session.post(f"{API}/{path}", json=body or {}, params=params)

    def do(self, path: str, body: Any = None, **params: Any) -> dict[str, Any]:
        """What the operation of a POST ends as, which must be no error."""
        return self.ended(self.post(path, body, **params))

    def ended(self, answer: requests.Response, *, fails: bool = False) -> dict[str, Any]:
        """What an operation ends as."""
        path = self._ok(answer)["selfLink"].removeprefix(LINKS)
        operation = self._ok(self.session.post(f"{API}{path}/wait"))
        assert operation["status"] == "DONE"
        assert ("error" in operation) is fails, operation
        return operation

    def make(self, path: str, **body: Any) -> dict[str, Any]:
        self.do(path, body)
        return self.get(f"{path}/{body['name']}")

    def delete(self, path: str) -> dict[str, Any]:
        return self.ended(self.session.delete(f"{API}/{path}"))

    def machine(self, name: str, **more: Any) -> dict[str, Any]:
        """An instance of a public image in the default network."""
        disk = {
            "boot": True,
            "autoDelete": True,
            "initializeParams": {"sourceImage": IMAGE, "diskSizeGb": "20"},
        }
        interface = {"network": "global/networks/default", "accessConfigs": [{"type": "ONE_TO_ONE_NAT"}]}
        whole = {
            "machineType": "zones/us-central1-a/machineTypes/e2-small",
            "disks": [disk],
            "networkInterfaces": [interface],
            **more,
        }
        return self.make(f"{ZONE}/instances", name=name, **whole)

    @staticmethod
    def _ok(answer: requests.Response) -> dict[str, Any]:
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


def refusal(answer: requests.Response) -> tuple[int, str, str]:
    """Status, reason and message of a refusal."""
    error = answer.json()["error"]
    return answer.status_code, error["errors"][0]["reason"], error["message"]


@pytest.fixture
def machines() -> str:
    return "records"


@pytest.fixture
def caller(emulator: RunningEmulator) -> Caller:
    return Caller(emulator.session())
