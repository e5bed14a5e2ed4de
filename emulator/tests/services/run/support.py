"""Calls of Cloud Run's API for tests, and a registry with tiny applications."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import requests
from gcp_emulator.engine.identity import identity_of
from gcp_emulator.services.artifactregistry.api import ArtifactRegistry

from emulator.tests.running import PROJECT, RunningEmulator
from emulator.tests.running import until as until_true
from emulator.tests.workloads.apps import image_of

REGION = "us-central1"
PARENT = f"projects/{PROJECT}/locations/{REGION}"
API = "https://run.googleapis.com/v2/"
REPOSITORY = f"us-central1-docker.pkg.dev/{PROJECT}/djangogcp"
IMAGE = f"{REPOSITORY}/web:v1"


def public(image: str = IMAGE, **template: Any) -> Any:
    env = template.pop("env", [])
    container = {"image": image, "env": env, **template.pop("container", {})}
    return {"invokerIamDisabled": True, "template": {"containers": [container], **template}}


class Client:
    """Calls of the API as somebody, and of addresses as anybody."""

    def __init__(self, emulator: RunningEmulator, member: str = RunningEmulator.owner) -> None:
        self.emulator = emulator
        self.session = emulator.session(member)
        self.anonymous = emulator.session(None)

    def call(self, method: str, path: str, body: Any = None, **params: Any) -> requests.Response:
        return self.session.request(method, API + path, json=body, params=params)

    def get(self, path: str) -> Any:
        return self.call("GET", path).json()

    def done(self, response: requests.Response) -> Any:
        """The finished operation that a call started."""
        assert response.status_code == 200, response.text
        return self.finished(response.json())

    def finished(self, operation: Any) -> Any:
        """The operation when it has ended."""
        deadline = time.monotonic() + 20
        while not operation.get("done"):
            assert time.monotonic() < deadline, operation
            operation = self.call("POST", f"{operation['name']}:wait", {"timeout": "5s"}).json()
        return operation

    def create(self, service: Any = None, name: str = "web") -> Any:
        return self.done(self.call("POST", f"{PARENT}/services", service or public(), serviceId=name))

    def patch(self, service: Any, mask: str = "", name: str = "web") -> Any:
        params = {"updateMask": mask} if mask else {}
        return self.done(self.call("PATCH", f"{PARENT}/services/{name}", service, **params))

    def create_job(self, job: Any, name: str = "migrate") -> Any:
        return self.done(self.call("POST", f"{PARENT}/jobs", job, jobId=name))

    def run(self, body: Any = None, name: str = "migrate") -> Any:
        return self.done(self.call("POST", f"{PARENT}/jobs/{name}:run", body or {}))

    def open(self, path: str = "/", tag: str = "", **options: Any) -> requests.Response:
        host = f"web-{self.emulator.number}.{REGION}.run.app"
        return self.anonymous.get(f"https://{tag + '---' if tag else ''}{host}{path}", **options)


until = partial(until_true, seconds=10)


def add_image(client: Client, name: str, *sources: str) -> None:
    """Pushes an image whose program is ``sources`` as ``name`` into the repository, which has to be there."""
    emulator = client.emulator
    registry = emulator.emulator.service(ArtifactRegistry)
    built = image_of(emulator.emulator.settings.state / "built" / name, *sources)
    image = registry.images.put(built.root, built.config, built.python)
    emulator.call(registry.push, identity_of("owner@example.com"), f"{REPOSITORY}/{name}", image)


def add_repository(client: Client) -> None:
    """Makes the repository."""
    repositories = f"https://artifactregistry.googleapis.com/v1/{PARENT}/repositories"
    answer = client.session.post(
        repositories, params={"repositoryId": "djangogcp"}, json={"format": "DOCKER"}
    )
    assert answer.status_code == 200, answer.text
    until(lambda: client.session.get(f"{repositories}/djangogcp").status_code == 200)
