"""Artifact Registry v1: repositories, and the container images that builds push into them.

Source: https://cloud.google.com/artifact-registry/docs/reference/rest. An image's files are in an
`gcp_emulator.workloads.images.ImageStore`; here are its names. Not emulated: the registry protocol
(``docker push`` and ``docker pull`` from outside), contents of formats other than DOCKER, and the execution of cleanup
policies, which are kept and returned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from gcp_emulator.engine import clock, masks
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import (
    Json,
    already_exists,
    failed_precondition,
    invalid_argument,
    not_found,
)
from gcp_emulator.engine.facts import read_yaml
from gcp_emulator.engine.faults import fallible
from gcp_emulator.engine.identity import Identity
from gcp_emulator.engine.labels import label_problem
from gcp_emulator.engine.operations import operation_name
from gcp_emulator.engine.policies import Policies
from gcp_emulator.engine.service import Call, Service, handles
from gcp_emulator.services.artifactregistry.ports import Images, PushRefusedError, parse_reference
from gcp_emulator.services.orgpolicy.ports import Constraints
from gcp_emulator.workloads.images import Image

_REPOSITORY_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_SLASHES = re.compile(r"(?<=/packages/).+?(?=/versions/|/tags/|$)")
_TAG = re.compile(r"\w[\w.-]{0,127}")
_MUTABLE = frozenset(
    {
        "cleanupPolicies",
        "cleanupPolicyDryRun",
        "description",
        "disallowUnspecifiedMode",
        "dockerConfig",
        "labels",
        "mavenConfig",
        "platformLogsConfig",
        "remoteRepositoryConfig",
        "virtualRepositoryConfig",
        "vulnerabilityScanningConfig",
    }
)
_TYPE = "type.googleapis.com/google.devtools.artifactregistry.v1."
_EMPTY = {"@type": "type.googleapis.com/google.protobuf.Empty"}
_SCANNER = "containerscanning.googleapis.com"
#: The repositories whose contents are scanned, unless they are virtual: https://cloud.google.com/artifact-analysis/docs/container-scanning-overview
#: and https://cloud.google.com/artifact-analysis/docs/enabling-disabling-artifact-analysis.
_SCANNED = frozenset({"DOCKER", "GO", "MAVEN", "NPM", "PYTHON"})
_MEDIA_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


class ArtifactRegistry(Service):
    api = "artifactregistry"
    versions = ("v1", "v1beta2")  # gcloud asks v1beta2 for the locations

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.images = context.runtime.images
        context.ports.offer(Images, self)
        self._constraints = context.ports.find(Constraints)
        self._repositories = context.store.collection("artifactregistry.repositories")
        self._packages = context.store.collection("artifactregistry.packages")
        self._versions = context.store.collection("artifactregistry.versions")
        self._tags = context.store.collection("artifactregistry.tags")
        self._holders = context.store.collection("artifactregistry.holders")

    def canonical(self, path: dict[str, str]) -> dict[str, str]:
        """Packages whose id holds a slash keep it as %2F, which the router has decoded."""
        return {
            name: _SLASHES.sub(lambda found: found[0].replace("/", "%2F"), value)
            for name, value in path.items()
        }

    def policies(self) -> Iterable[Policies]:
        return [Policies("artifactregistry.projects.locations.repositories", self._repository)]

    # ---------------------------------------------------------------- for other services

    def image(self, reference: str) -> Image | None:
        """The image that a reference names now (its digest before its tag), or None. Permissions are the caller's."""
        digest = self.digest(reference)
        return self.images.get(digest) if digest else None

    def kept(self, digest: str) -> Image | None:
        """The image of a digest, also when no version names it any more."""
        return self.images.get(digest)

    def digest(self, reference: str) -> str | None:
        """The digest (``sha256:...``) that a reference names, or None."""
        parsed = parse_reference(reference)
        if parsed is None:
            return None
        if parsed.digest:
            return parsed.digest if f"{parsed.package}/versions/{parsed.digest}" in self._versions else None
        tag = self._tags.get(f"{parsed.package}/tags/{parsed.tag}")
        return str(tag["version"]).rpartition("/")[2] if tag else None

    def push(self, identity: Identity, reference: str, image: Image) -> str:
        """Store an image under a reference as ``identity``, and return its digest. Raises `PushRefusedError`."""
        parsed = parse_reference(reference)
        if parsed is None:
            raise PushRefusedError(
                f"{reference}: the emulator has no other registry than LOCATION-docker.pkg.dev/PROJECT/REPOSITORY/IMAGE"
            )
        permission = "artifactregistry.repositories.uploadArtifacts"
        if not self.context.iam.allows(identity, permission, parsed.repository):
            raise PushRefusedError(
                f'denied: Permission "{permission}" denied on resource "{parsed.repository}" (or it may not exist)',
                denied=True,
            )
        repository = self._repositories.get(parsed.repository)
        if repository is None:
            raise PushRefusedError(f'name unknown: Repository "{parsed.repository_id}" not found')
        if repository["format"] != "DOCKER":
            raise PushRefusedError(
                f'name unknown: Repository "{parsed.repository_id}" is not a DOCKER repository'
            )
        version, tag = f"{parsed.package}/versions/{image.digest}", f"{parsed.package}/tags/{parsed.tag}"
        current = self._tags.get(tag)
        if current and current["version"] != version and _has_immutable_tags(repository):
            raise PushRefusedError(
                f"manifest invalid: cannot update tag {parsed.tag}. The repository has enabled tag immutability"
            )
        now = clock.timestamp()
        package = self._packages.get(parsed.package) or {"name": parsed.package, "createTime": now}
        self._packages.put(parsed.package, package | {"updateTime": now})
        known = self._versions.get(version) or {"name": version, "createTime": now, "size": image.size}
        self._versions.put(version, known | {"updateTime": now, "built": image.created})
        self._tags.put(tag, {"name": tag, "version": version})
        return image.digest

    def hold(self, digest: str, holder: str) -> None:
        """Keep an image's files although no version may name it: for a build that runs, or a revision that serves.

        ``holder`` is any resource name; it stays until `release`, also over a restart.
        """
        holders = (self._holders.get(digest) or {}).get("holders", [])
        self._holders.put(digest, {"holders": sorted({*holders, holder})})

    def release(self, digest: str, holder: str) -> None:
        """Undo `hold`; the image's files go when nothing names or holds them any more."""
        holders = [other for other in (self._holders.get(digest) or {}).get("holders", []) if other != holder]
        if holders:
            self._holders.put(digest, {"holders": holders})
        else:
            self._holders.delete(digest)
        self._free(digest)

    def release_all(self, holder: str) -> None:
        """`release` of every image that ``holder`` holds: for one that was killed."""
        for digest, record in self._holders.items():
            if holder in record["holders"]:
                self.release(digest, holder)

    def _free(self, digest: str) -> None:
        if digest not in self._holders and not any(name.endswith(digest) for name in self._versions.names()):
            self.images.delete(digest)

    # ---------------------------------------------------------------- locations and operations

    @handles("artifactregistry.projects.locations.list")
    async def list_locations(self, call: Call) -> Json:
        project = call.params["name"]
        return call.page([_location(project, name) for name in _locations()], "locations")

    @handles("artifactregistry.projects.locations.get")
    async def get_location(self, call: Call) -> Json:
        project, _, location = call.params["name"].rpartition("/locations/")
        _require_location(location)
        return _location(project, location)

    @handles("artifactregistry.projects.locations.operations.get")
    async def get_operation(self, call: Call) -> Json:
        return self.context.operations.get(call.params["name"])

    def _operation(self, call: Call, resource: str, response: Json) -> Json:
        """An operation that has done its work already and takes its time to say so."""

        async def work() -> Json:
            return response

        parent = "/".join(resource.split("/")[:4])
        metadata = {"@type": _TYPE + "OperationMetadata"}
        return self.context.operations.start(
            operation_name(parent), fallible(work()), key=call.method.id, metadata=metadata
        )

    # ---------------------------------------------------------------- repositories

    def _repository(self, name: str) -> Json:
        record = self._repositories.get(name)
        if record is None:
            raise not_found("Requested entity was not found.")
        return record

    def _view(self, record: Json) -> Json:
        name = record["name"]
        _, project, _, location, _, repository_id = name.split("/")
        digests = {n.rpartition("/")[2]: v["size"] for n, v in self._versions.items(name + "/packages/")}
        remote = record.get("remoteRepositoryConfig")
        if remote is not None:
            # Input only, though the document does not say so: https://github.com/GoogleCloudPlatform/magic-modules/pull/12535.
            record["remoteRepositoryConfig"] = {
                key: value for key, value in remote.items() if key != "disableUpstreamValidation"
            }
        if "cleanupPolicies" in record:
            # Told with their names, also when they were asked without: https://github.com/GoogleCloudPlatform/k8s-config-connector,
            # the recorded conversation artifactregistryrepositorycleanuppolicies.
            record["cleanupPolicies"] = {
                key: policy | {"id": key} for key, policy in record["cleanupPolicies"].items()
            }
        return record | {
            "sizeBytes": str(sum(digests.values())),
            "registryUri": f"{location}-{record['format'].lower()}.pkg.dev/{project}/{repository_id}",
            "satisfiesPzi": True,
            "vulnerabilityScanningConfig": self._scanning(project, record),
        }

    def _scanning(self, project: str, record: Json) -> Json:
        """What is told of scanning for vulnerabilities; nothing scans. Recorded: artifactregistryrepository; the other reasons are assumed."""
        config = record.get("vulnerabilityScanningConfig", {})
        told = {**config, "lastEnableTime": record["createTime"]}
        if record["mode"] == "VIRTUAL_REPOSITORY":
            reason = f"Repository mode {record['mode']} is not supported."
        elif record["format"] not in _SCANNED:
            reason = f"Repository format {record['format']} is not supported."
        elif config.get("enablementConfig") == "DISABLED":
            return told | {
                "enablementState": "SCANNING_DISABLED",
                "enablementStateReason": "Scanning is disabled for this repository.",
            }
        elif not self.context.projects.is_enabled(project, _SCANNER):
            return told | {
                "enablementState": "SCANNING_DISABLED",
                "enablementStateReason": f"API {_SCANNER} is not enabled.",
            }
        else:
            return told | {"enablementState": "SCANNING_ACTIVE"}
        return told | {"enablementState": "SCANNING_UNSUPPORTED", "enablementStateReason": reason}

    @handles("artifactregistry.projects.locations.repositories.create")
    async def create_repository(self, call: Call) -> Json:
        parent = call.params["parent"]
        _require_location(parent.rpartition("/")[2])
        repository_id = call.params.get("repositoryId") or ""
        if not _REPOSITORY_ID.fullmatch(repository_id):
            raise invalid_argument("Request contains an invalid argument.", field="repository_id")
        name = f"{parent}/repositories/{repository_id}"
        if name in self._repositories:
            raise already_exists("the repository already exists")
        _check_labels(call.body)
        _, project, _, location = parent.split("/")
        self._constraints.require_location(project, "repository", [location])
        now = clock.timestamp()
        mode = call.body.get("mode", "MODE_UNSPECIFIED")
        record: Json = {
            **call.body,
            "mode": "STANDARD_REPOSITORY" if mode == "MODE_UNSPECIFIED" else mode,
            "name": name,
            "createTime": now,
            "updateTime": now,
        }
        self._repositories.put(name, record)
        return self._operation(call, name, {"@type": _TYPE + "Repository", **self._view(record)})

    @handles("artifactregistry.projects.locations.repositories.get")
    async def get_repository(self, call: Call) -> Json:
        return self._view(self._repository(call.params["name"]))

    @handles("artifactregistry.projects.locations.repositories.list")
    async def list_repositories(self, call: Call) -> Json:
        found = [
            self._view(record)
            for _, record in self._repositories.items(call.params["parent"] + "/repositories/")
        ]
        return call.page(found, "repositories")

    @handles("artifactregistry.projects.locations.repositories.patch")
    async def update_repository(self, call: Call) -> Json:
        name = call.params["name"]
        record = self._repository(name)
        for field in ("format", "mode", "kmsKeyName"):
            if call.body.get(field, record.get(field)) != record.get(field):
                raise invalid_argument(f"The field '{field}' of a repository cannot be changed.", field=field)
        body = {key: value for key, value in call.body.items() if key in _MUTABLE}
        paths = masks.parse_mask(call.params.get("updateMask"), body=body, mutable=_MUTABLE)
        record = masks.apply_mask(record, call.body, paths) | {"updateTime": clock.timestamp()}
        _check_labels(record)
        self._repositories.put(name, record)
        return self._view(record)

    @handles("artifactregistry.projects.locations.repositories.delete")
    async def delete_repository(self, call: Call) -> Json:
        name = call.params["name"]
        self._repository(name)
        self._repositories.delete(name)
        for package in self._packages.names(name + "/packages/"):
            self._drop_package(package)
        self.context.iam.forget(name)
        return self._operation(call, name, _EMPTY)

    # ---------------------------------------------------------------- images

    @handles("artifactregistry.projects.locations.repositories.dockerImages.list")
    async def list_docker_images(self, call: Call) -> Json:
        parent = call.params["parent"]
        self._repository(parent)
        found = [
            self._docker_image(name, record) for name, record in self._versions.items(parent + "/packages/")
        ]
        return call.page(found, "dockerImages")

    @handles("artifactregistry.projects.locations.repositories.dockerImages.get")
    async def get_docker_image(self, call: Call) -> Json:
        repository, _, image_id = call.params["name"].partition("/dockerImages/")
        package, _, digest = image_id.partition("@")
        name = f"{repository}/packages/{package.replace('/', '%2F')}/versions/{digest}"
        return self._docker_image(name, self._version(name))

    def _docker_image(self, name: str, record: Json) -> Json:
        package, _, digest = name.partition("/versions/")
        repository, _, package_id = package.partition("/packages/")
        _, project, _, location, _, repository_id = repository.split("/")
        image = package_id.replace("%2F", "/")
        view: Json = {
            "name": f"{repository}/dockerImages/{image}@{digest}",
            "uri": f"{location}-docker.pkg.dev/{project}/{repository_id}/{image}@{digest}",
            "imageSizeBytes": str(record["size"]),
            "uploadTime": record["createTime"],
            "updateTime": record["updateTime"],
            "mediaType": _MEDIA_TYPE,
        }
        if tags := self._tags_of(package, name):
            view["tags"] = tags
        return view

    def _tags_of(self, package: str, version: str) -> list[str]:
        return [
            name.rpartition("/")[2]
            for name, tag in self._tags.items(package + "/tags/")
            if tag["version"] == version
        ]

    # ---------------------------------------------------------------- packages

    @handles("artifactregistry.projects.locations.repositories.packages.list")
    async def list_packages(self, call: Call) -> Json:
        self._repository(call.params["parent"])
        found = [record for _, record in self._packages.items(call.params["parent"] + "/packages/")]
        return call.page(found, "packages")

    @handles("artifactregistry.projects.locations.repositories.packages.get")
    async def get_package(self, call: Call) -> Json:
        return self._package(call.params["name"])

    @handles("artifactregistry.projects.locations.repositories.packages.delete")
    async def delete_package(self, call: Call) -> Json:
        name = call.params["name"]
        self._package(name)
        self._drop_package(name)
        return self._operation(call, name, _EMPTY)

    def _package(self, name: str) -> Json:
        record = self._packages.get(name)
        if record is None:
            raise not_found("Requested entity was not found.")
        return record

    def _drop_package(self, name: str) -> None:
        for tag in self._tags.names(name + "/tags/"):
            self._tags.delete(tag)
        for version in self._versions.names(name + "/versions/"):
            self._versions.delete(version)
            self._free(version.rpartition("/")[2])
        self._packages.delete(name)

    # ---------------------------------------------------------------- versions

    def _version(self, name: str) -> Json:
        record = self._versions.get(name)
        if record is None:
            raise not_found("Requested entity was not found.")
        return record

    def _version_view(self, name: str, record: Json, view: str | None) -> Json:
        shown = {key: record[key] for key in ("name", "createTime", "updateTime")}
        if view == "FULL":
            package = name.partition("/versions/")[0]
            tags = [
                {"name": f"{package}/tags/{tag}", "version": name} for tag in self._tags_of(package, name)
            ]
            shown["metadata"] = {
                "imageSizeBytes": str(record["size"]),
                "mediaType": _MEDIA_TYPE,
                "name": name,
            }
            if tags:
                shown["relatedTags"] = tags
        return shown

    @handles("artifactregistry.projects.locations.repositories.packages.versions.list")
    async def list_versions(self, call: Call) -> Json:
        parent = call.params["parent"]
        self._package(parent)
        found = list(self._versions.items(parent + "/versions/"))
        views = [self._version_view(name, record, call.params.get("view")) for name, record in found]
        return call.page(views, "versions")

    @handles("artifactregistry.projects.locations.repositories.packages.versions.get")
    async def get_version(self, call: Call) -> Json:
        name = call.params["name"]
        return self._version_view(name, self._version(name), call.params.get("view"))

    @handles("artifactregistry.projects.locations.repositories.packages.versions.delete")
    async def delete_version(self, call: Call) -> Json:
        name = call.params["name"]
        self._version(name)
        package = name.partition("/versions/")[0]
        tags = self._tags_of(package, name)
        if tags and not call.params.get("force"):
            raise failed_precondition(
                f"Cannot delete version {name.rpartition('/')[2]}: it is tagged ({', '.join(tags)}); delete with force."
            )
        if tags:
            self._require_mutable_tags(name)
        for tag in tags:
            self._tags.delete(f"{package}/tags/{tag}")
        self._versions.delete(name)
        self._free(name.rpartition("/")[2])
        return self._operation(call, name, _EMPTY)

    # ---------------------------------------------------------------- tags

    @handles("artifactregistry.projects.locations.repositories.packages.tags.create")
    async def create_tag(self, call: Call) -> Json:
        tag_id = call.params.get("tagId") or ""
        if not _TAG.fullmatch(tag_id):
            raise invalid_argument("Request contains an invalid argument.", field="tag_id")
        name = f"{call.params['parent']}/tags/{tag_id}"
        if name in self._tags:
            raise already_exists("the tag already exists")
        return self._put_tag(name, call.body["version"])

    @handles("artifactregistry.projects.locations.repositories.packages.tags.get")
    async def get_tag(self, call: Call) -> Json:
        return self._tag(call.params["name"])

    @handles("artifactregistry.projects.locations.repositories.packages.tags.list")
    async def list_tags(self, call: Call) -> Json:
        parent = call.params["parent"]
        self._package(parent)
        return call.page([record for _, record in self._tags.items(parent + "/tags/")], "tags")

    @handles("artifactregistry.projects.locations.repositories.packages.tags.patch")
    async def update_tag(self, call: Call) -> Json:
        name = call.params["name"]
        self._tag(name)
        masks.parse_mask(call.params.get("updateMask"), body={"version": ""}, mutable=frozenset({"version"}))
        self._require_mutable_tags(name)
        return self._put_tag(name, call.body.get("version", ""))

    @handles("artifactregistry.projects.locations.repositories.packages.tags.delete")
    async def delete_tag(self, call: Call) -> Json:
        name = call.params["name"]
        self._tag(name)
        self._require_mutable_tags(name)
        self._tags.delete(name)
        return {}

    def _tag(self, name: str) -> Json:
        record = self._tags.get(name)
        if record is None:
            raise not_found("Requested entity was not found.")
        return record

    def _put_tag(self, name: str, version: str) -> Json:
        if version.partition("/versions/")[0] != name.partition("/tags/")[0]:
            raise invalid_argument("Request contains an invalid argument.", field="tag.version")
        self._version(version)
        tag = {"name": name, "version": version}
        self._tags.put(name, tag)
        return tag

    def _require_mutable_tags(self, name: str) -> None:
        repository = self._repository(name.partition("/packages/")[0])
        if _has_immutable_tags(repository):
            raise failed_precondition("The repository has enabled tag immutability.")


def _check_labels(repository: Json) -> None:
    if problem := label_problem(repository.get("labels", {})):
        raise invalid_argument(problem, field="repository.labels")


def _has_immutable_tags(repository: Json) -> bool:
    return bool(repository.get("dockerConfig", {}).get("immutableTags"))


def _locations() -> list[str]:
    locations: list[str] = read_yaml("services/artifactregistry/facts.yaml")["locations"]
    return locations


def _location(project: str, name: str) -> Json:
    return {"name": f"{project}/locations/{name}", "locationId": name, "displayName": name}


def _require_location(name: str) -> None:
    """Google says no more about a location that it does not have than this."""
    if name not in _locations():
        raise invalid_argument("Request contains an invalid argument.", field="parent")
