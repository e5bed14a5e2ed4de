# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Images by the content of their source: what Cloud Build has made of it before, else built now.

A build carries the tag ``source-<digest>`` of its source, so that an unchanged source and an interrupted run find it again. Which image
it has made is what Cloud Build recorded (`results.images`, output only): a tag in Artifact Registry is moved by whoever may push, and is
there for people only.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t
import urllib.parse
import uuid

from ansible_collections.org.djangogcp.plugins.module_utils import _system_packages as system_packages
from ansible_collections.org.djangogcp.plugins.module_utils._client import Call, Client, Json
from ansible_collections.org.djangogcp.plugins.module_utils._errors import (
    ApiError,
    ConnectionLostError,
    DjangoGcpError,
)
from ansible_collections.org.djangogcp.plugins.module_utils._grants import Refusal, once_granted
from ansible_collections.org.djangogcp.plugins.module_utils._logs import log_lines
from ansible_collections.org.djangogcp.plugins.module_utils._operations import Wait, poll
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline
from ansible_collections.org.djangogcp.plugins.module_utils._services.storage import (
    create_object,
    object_address,
)
from ansible_collections.org.djangogcp.plugins.module_utils._source import Archive

_CLOUD_BUILD = "https://cloudbuild.googleapis.com/v1"
_ARTIFACT_REGISTRY = "https://artifactregistry.googleapis.com/v1"

#: Build.status values that are not the end (cloudbuild v1, Build.status).
_RUNNING = frozenset({"PENDING", "QUEUED", "WORKING"})
_IMAGE = re.compile(
    r"(?P<location>[a-z0-9-]+)-docker\.pkg\.dev/(?P<project>[^/]+)/(?P<repository>[^/]+)/(?P<package>[a-z0-9._/-]+)"
)
#: Of the log's end so much is shown, and so much is looked at: pip explains at length that a build failed.
_SHOWN_LINES = 40
_READ_LINES = 200
# What of a build was asked for, but its tags.
_ASKED = ("source", "steps", "images", "serviceAccount", "options", "timeout")
# How Cloud Build refuses a source that the build's account may not read.
_MAY_NOT_READ = re.compile(r"could not resolve source:.*\b403\b")
# How it refuses somebody who may not act as that account. The account is told by its number.
# Source: https://github.com/kohei321dev/spot-diggz/issues/164
_MAY_NOT_ACT_AS = re.compile(r"does not have permission to act as service account")


# How it refuses to build in a region that some projects, mostly new ones, may not use, and how Google Cloud tells that it has no such
# location. Source: https://github.com/google-github-actions/deploy-cloudrun/issues/480; that Cloud Build tells the second so is assumed.
_NOT_IN_THIS_LOCATION = re.compile(
    r"cannot run builds in this region|'locations/[^']+' \(or it may not exist\)"
)
#: Where every project may build. Source: https://cloud.google.com/build/docs/locations, "Restricted regions for some projects".
_FOR_ALL_PROJECTS = (
    "us-central1, us-west2, europe-west1, asia-east1, australia-southeast1, southamerica-east1"
)


class BuildError(DjangoGcpError):
    """A build that did not end in an image."""

    def __init__(self, message: str, *, log_url: str) -> None:
        super().__init__(message)
        self.log_url = log_url

    def as_fail_json(self) -> dict[str, t.Any]:
        return {"msg": self.message, "log_url": self.log_url}


@dataclasses.dataclass(frozen=True)
class Image:
    """A repository of Artifact Registry and a tag in it.

    Attributes:
        name: ``LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/PACKAGE``, without tag or digest.
        tag: the tag, for instance ``source-0123456789abcdef``.
        digest: ``sha256:...``, "" while there is no such image.
    """

    name: str
    tag: str
    digest: str = ""

    @classmethod
    def of_source(cls, name: str, source_digest: str, rebuild: str = "") -> Image:
        """The image of a source, and of what makes it anew. The digest is cut to what a tag has room for and people can compare."""
        if not _IMAGE.fullmatch(name):
            raise DjangoGcpError(
                f"image is {name!r}: expected LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/NAME in lower case, without tag or digest."
            )
        return cls(name, f"source-{source_digest[:24]}" + (f"-{rebuild}" if rebuild else ""))

    @property
    def package(self) -> str:
        """The package's resource name (artifactregistry v1, projects.locations.repositories.packages)."""
        found = _IMAGE.fullmatch(self.name)
        if found is None:
            raise DjangoGcpError(f"{self.name!r} is not the name of an image in Artifact Registry.")
        package = urllib.parse.quote(found["package"], safe="")
        return f"projects/{found['project']}/locations/{found['location']}/repositories/{found['repository']}/packages/{package}"

    @property
    def version(self) -> str:
        """The resource name of the image by its digest (artifactregistry v1, projects.locations.repositories.packages.versions)."""
        return f"{self.package}/versions/{self.digest}"

    @property
    def repository(self) -> str:
        """The name of the repository of Artifact Registry that it is in."""
        return self.package.split("/")[5]

    @property
    def tagged(self) -> str:
        """The image by its tag."""
        return f"{self.name}:{self.tag}"

    @property
    def uri(self) -> str:
        """What to deploy: by digest, or by tag while the digest is unknown."""
        return f"{self.name}@{self.digest}" if self.digest else self.tagged

    def result(self) -> Json:
        """The image as modules return it."""
        return {"name": self.name, "tag": self.tag, "digest": self.digest, "uri": self.uri}


@dataclasses.dataclass(frozen=True)
class BuildRequest:
    """What Cloud Build is asked to do.

    Attributes:
        service_account: the e-mail address of the account that the build runs as.
        timeout: seconds after which Cloud Build gives up.
        machine_type: a Cloud Build machine type, None for the default one.
        cache_from: the image whose layers are used where nothing that made them has changed, "" for none.
    """

    service_account: str
    timeout: int
    machine_type: str | None = None
    cache_from: str = ""

    def body(
        self, project: str, image: Image, bucket: str, name: str, generation: str, submission: str
    ) -> Json:
        """The Build (cloudbuild v1) that turns an uploaded source into an image. `submission` is a tag of this request alone.

        A build begins on a machine that has no cache. An image that was built with BUILDKIT_INLINE_CACHE says which of its layers
        came from what (https://docs.docker.com/build/cache/backends/inline/), and one that is gone is no error.

        A named service account needs ``options.logging`` (Cloud Build documentation, "Configure user-specified service
        accounts").
        """
        step = {
            "name": "gcr.io/cloud-builders/docker",
            "args": [
                "build",
                "--build-arg=BUILDKIT_INLINE_CACHE=1",
                *([f"--cache-from={self.cache_from}"] if self.cache_from else []),
                "-t",
                image.tagged,
                ".",
            ],
            # That builder has BuildKit switched off, and a Dockerfile that mounts caches or secrets needs it.
            "env": ["DOCKER_BUILDKIT=1"],
        }
        options: Json = {"logging": "CLOUD_LOGGING_ONLY"}
        if self.machine_type:
            options["machineType"] = self.machine_type
        return {
            "source": {"storageSource": {"bucket": bucket, "object": name, "generation": generation}},
            "steps": [step],
            "images": [image.tagged],
            "serviceAccount": f"projects/{project}/serviceAccounts/{self.service_account}",
            "options": options,
            "timeout": f"{self.timeout}s",
            "tags": [image.tag, submission],
        }


def is_there(client: Client, image: Image) -> bool:
    """Whether Artifact Registry has an image by its digest."""
    call = Call(f"look up image {image.uri}", "artifactregistry.versions.get")
    return client.find(f"{_ARTIFACT_REGISTRY}/{image.version}", call) is not None


class Builds:
    """The builds of one project.

    Args:
        client: calls the API.
        project: the project's id.
        location: where it builds.
        fallback: where it builds if it may not there, "" for nowhere.
    """

    def __init__(self, client: Client, project: str, location: str, fallback: str = "") -> None:
        self._client = client
        self._project = project
        self._locations = list(dict.fromkeys(filter(None, (location, fallback))))

    def _parent(self, location: str) -> str:
        return f"{_CLOUD_BUILD}/projects/{self._project}/locations/{location}/builds"

    def newest(self, image: Image) -> str:
        """The newest image of the same name by its digest, whatever its source is; "" when there is none."""
        call = Call(f"list the versions of image {image.name}", "artifactregistry.versions.list")
        url = f"{_ARTIFACT_REGISTRY}/{image.package}/versions"
        try:
            found = list(self._client.list(url, call, items="versions", params={"pageSize": 1000}))
        except ApiError as error:
            if not error.is_absent:
                raise
            found = []
        newest = max(found, key=lambda version: str(version.get("updateTime", "")), default=None)
        return f"{image.name}@{str(newest['name']).rpartition('/')[2]}" if newest else ""

    def find(self, image: Image) -> tuple[Json | None, Image | None]:
        """What there is of a source already: a build of it with the image that it has made; else one that an interrupted run has left
        running, without an image; else nothing.

        Sites that are deployed from one source have builds with one tag, so the image itself has to be the same. One that was deleted
        since is none.
        """
        running = None
        for build in self._tagged(image.tag):
            if image.tagged not in build.get("images", []):
                continue
            digest = _digest(build, image) if build.get("status") == "SUCCESS" else ""
            made = dataclasses.replace(image, digest=digest)
            if digest and is_there(self._client, made):
                return build, made
            if not is_finished(build):
                running = running or build
        return running, None

    def _tagged(self, tag: str) -> t.Iterator[Json]:
        call = Call(f"list the builds of {tag}", "cloudbuild.builds.list")
        params = {"filter": f'tags="{tag}"', "pageSize": 20}
        for location in self._locations:
            try:
                yield from self._client.list(self._parent(location), call, items="builds", params=params)
            except ApiError as error:
                # A location that is none has none; nor has a project whose API a task before this one would enable in check mode.
                if not (error.is_disabled or _NOT_IN_THIS_LOCATION.search(error.explanation)):
                    raise

    def upload(self, archive: Archive, bucket: str, name: str) -> str:
        """Put the source into the bucket and return the object's generation. The same source is uploaded once."""
        call = Call(f"upload the source to gs://{bucket}/{name}", "storage.objects.create")
        made = create_object(self._client, call, bucket, name, archive.content, "application/gzip")
        if made:
            return made
        read = Call(f"read gs://{bucket}/{name}", "storage.objects.get")
        return str(self._client.get(object_address(bucket, name), read)["generation"])

    def submit(self, request: BuildRequest, image: Image, bucket: str, name: str, generation: str) -> Json:
        """Start a build and return it. When the answer is lost, the tag of the request tells whether it was started."""

        def refusal(error: DjangoGcpError) -> Refusal | None:
            if isinstance(error, ApiError) and _MAY_NOT_READ.search(error.explanation):
                return Refusal("bucket", bucket, request.service_account)
            if (
                isinstance(error, ApiError)
                and error.status == 403
                and _MAY_NOT_ACT_AS.search(error.explanation)
            ):
                return Refusal("service_account", request.service_account)
            return None

        return once_granted(
            self._client,
            lambda: self._submit(request, image, bucket, name, generation),
            refusal,
            doing=f"start the build of {image.tagged}",
        )

    def _submit(self, request: BuildRequest, image: Image, bucket: str, name: str, generation: str) -> Json:
        submission = _new_submission()
        body = request.body(self._project, image, bucket, name, generation, submission)
        return self._create(body, image, submission)

    def _again(self, build: Json, image: Image) -> Json:
        """Start another build of what a build was made of."""
        submission = _new_submission()
        asked = {name: build[name] for name in _ASKED if name in build}
        return self._create({**asked, "tags": [image.tag, submission]}, image, submission)

    def _create(self, body: Json, image: Image, submission: str) -> Json:
        """Start a build where the project may build.

        Raises:
            ApiError: it may not anywhere; it says where every project may.
        """
        for location in self._locations:
            try:
                return self._create_in(location, body, image, submission)
            except ApiError as error:
                if not _NOT_IN_THIS_LOCATION.search(error.explanation):
                    raise
                if location == self._locations[-1]:
                    raise error.with_hint(
                        "Set djangogcp_build_location (the module's location) to global, or to a region in which every project may"
                        f" build: {_FOR_ALL_PROJECTS}."
                    ) from error
        raise AssertionError("there is a location")

    def _create_in(self, location: str, body: Json, image: Image, submission: str) -> Json:
        call = Call(f"start the build of {image.tagged}", "cloudbuild.builds.create")
        try:
            operation = self._client.request("POST", self._parent(location), call, body=body)
        except ConnectionLostError:
            found = next(self._tagged(submission), None)
            if found is not None:
                return found
            operation = self._client.request("POST", self._parent(location), call, body=body)
        return self.get(str(operation["metadata"]["build"]["id"]), location)

    def get(self, build_id: str, location: str = "") -> Json:
        """Read a build, where it builds first unless a location is given."""
        return self._client.get(
            f"{self._parent(location or self._locations[0])}/{build_id}",
            Call(f"read build {build_id}", "cloudbuild.builds.get"),
        )

    def warnings(self, build: Json | None) -> list[str]:
        """What a person should know of where a build runs."""
        asked, location = self._locations[0], build_location(build)
        if location in ("", asked):
            return []
        return [
            f"The project may not build in {asked}, so its image was built in {location}. Set djangogcp_build_location (the module's"
            f" location) to choose another place; in {_FOR_ALL_PROJECTS} every project may."
        ]

    def wait(self, build: Json, wait: Wait) -> Json:
        """Follow a build to its end."""
        return poll(
            lambda: self.get(build["id"], build_location(build)),
            is_finished,
            Deadline(wait.timeout, self._client.clock),
            doing=f"build {build['id']}",
            state=lambda last: str(last.get("status", "")),
        )

    def finish(self, build: Json, image: Image, wait: Wait) -> tuple[Json, Image]:
        """Follow a build to its end; returns it and the image that it has made.

        It is built again when its account may not push yet what it was granted a moment ago.

        Raises:
            BuildError: as `built_image`.
        """
        builds = [build]

        def attempt() -> tuple[Json, Image]:
            if len(builds) > 1:
                builds.append(self._again(builds[-1], image))
            builds.append(self.wait(builds[-1], wait))
            return builds[-1], self.built_image(builds[-1], image)

        def refusal(error: DjangoGcpError) -> Refusal | None:
            if not isinstance(error, BuildError) or not _is_push_refused(builds[-1]):
                return None
            return Refusal("artifact_repository", image.repository, _account(builds[-1]))

        return once_granted(self._client, attempt, refusal, doing=f"push {image.tagged}")

    def built_image(self, build: Json, image: Image) -> Image:
        """The image that a finished build has made.

        Raises:
            BuildError: the build has failed; the message ends with the last lines of its log.
        """
        if build["status"] != "SUCCESS":
            raise BuildError(self._explain(build, image), log_url=str(build.get("logUrl", "")))
        digest = _digest(build, image)
        if not digest:
            raise BuildError(
                f"Failed to build {image.name}: build {build['id']} succeeded without an image.", log_url=""
            )
        return dataclasses.replace(image, digest=digest)

    def _explain(self, build: Json, image: Image) -> str:
        detail = build.get("failureInfo", {}).get("detail") or build.get("statusDetail") or "no detail given"
        selector = f'resource.type="build" AND resource.labels.build_id="{build["id"]}"'
        lines = log_lines(self._client, self._project, selector, limit=_READ_LINES)
        shown = "\n".join(lines[-_SHOWN_LINES:])
        return (
            f"Failed to build {image.name}: build {build['id']} ended with {build['status']}: {detail.rstrip('.')}. "
            f"{_cure(build, lines)}\n{shown}"
        ).rstrip()


def _cure(build: t.Mapping[str, t.Any], lines: t.Sequence[str]) -> str:
    """What to do about a build that has failed, by what it printed. Source of the types: cloudbuild v1, FailureInfo."""
    failure = build.get("failureInfo", {}).get("type")
    account = _account(build)
    if failure == "PUSH_NOT_AUTHORIZED":
        return f"Grant {account} the role roles/artifactregistry.writer on the repository; when it was granted a moment ago, run again."
    if failure == "FETCH_SOURCE_FAILED":
        return f"Grant {account} the role roles/storage.objectViewer on the bucket; when it was granted a moment ago, run again."
    if build.get("status") in ("INTERNAL_ERROR", "CANCELLED", "EXPIRED"):
        return "Run again."
    if "status: 137" in str(build.get("failureInfo", {}).get("detail")):
        return (
            "A step ran out of memory: let it need less, or build with a larger machine_type, and run again."
        )
    return (
        system_packages.cure("\n".join(lines)) or "The end of its log says why; fix the source and run again."
    )


def _account(build: t.Mapping[str, t.Any]) -> str:
    """The e-mail address of the account that a build runs as: ``projects/P/serviceAccounts/EMAIL`` (cloudbuild v1, Build.serviceAccount)."""
    return str(build.get("serviceAccount", "")).rpartition("/")[2]


def _digest(build: t.Mapping[str, t.Any], image: Image) -> str:
    """The digest of the image that a build has pushed, "" without one (cloudbuild v1, Results.images: "name" is what it was pushed by)."""
    made = build.get("results", {}).get("images", [])
    return next((str(one.get("digest", "")) for one in made if one.get("name") == image.tagged), "")


def _is_push_refused(build: t.Mapping[str, t.Any]) -> bool:
    """Whether a build ended because its account may not push. Source of the type: cloudbuild v1, FailureInfo."""
    return bool(build.get("failureInfo", {}).get("type") == "PUSH_NOT_AUTHORIZED")


def _new_submission() -> str:
    """A tag of one request alone."""
    return f"submission-{uuid.uuid4().hex}"


def is_finished(build: t.Mapping[str, t.Any]) -> bool:
    """Whether a build has come to its end, good or bad."""
    return build.get("status") not in _RUNNING


def build_location(build: t.Mapping[str, t.Any] | None) -> str:
    """Where a build runs, by its name: ``projects/P/locations/L/builds/ID`` (cloudbuild v1, Build.name); "" without one."""
    found = re.fullmatch(r"projects/[^/]+/locations/([^/]+)/builds/[^/]+", str((build or {}).get("name", "")))
    return found[1] if found else ""


def build_result(build: Json | None) -> Json | None:
    """A build as modules return it."""
    if build is None:
        return None
    return {
        "id": build["id"],
        "location": build_location(build),
        "status": build["status"],
        "log_url": build.get("logUrl", ""),
    }
