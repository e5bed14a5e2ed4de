"""One build, from its source to the pushed images, as its service account.

The phases, the log's lines and the failures are Cloud Build's: FETCHSOURCE, BUILD, PUSH
(https://cloud.google.com/build/docs/api/reference/rest/v1/projects.builds, ``timing`` and ``FailureInfo``).
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from gcp_emulator.engine import clock
from gcp_emulator.engine.context import Context
from gcp_emulator.engine.errors import ApiError, Json
from gcp_emulator.engine.faults import striking
from gcp_emulator.engine.identity import Identity
from gcp_emulator.services.artifactregistry.ports import Images, PushRefusedError, parse_reference
from gcp_emulator.services.cloudbuild.docker import Docker, StepFailed, push_image
from gcp_emulator.services.cloudbuild.logs import DefaultLogs
from gcp_emulator.services.cloudbuild.request import timeout_of
from gcp_emulator.services.storage.ports import Objects
from gcp_emulator.workloads.build.archive import unpack_tar
from gcp_emulator.workloads.build.cache import in_thread
from gcp_emulator.workloads.build.copy import CopyError
from gcp_emulator.workloads.images import Image, remove_tree
from gcp_emulator.workloads.runtime import ImageBuilder

_NO_LOGS = (
    "The service account running this build {account} does not have permission to write logs to Cloud Logging. To fix "
    "this, grant the Logs Writer (roles/logging.logWriter) role to the service account."
)


class BuildEnded(Exception):  # noqa: N818 - an outcome
    """A build that ended without success: its status and its FailureInfo (``type``, ``detail``)."""

    def __init__(self, status: str, failure: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.failure, self.detail = status, failure, detail


class BuildRun:
    """The execution of a build. ``record`` is the Build resource; ``save`` stores it after each change."""

    def __init__(
        self,
        context: Context,
        images: Images,
        objects: Objects,
        record: Json,
        identity: Identity,
        builder: ImageBuilder,
        folder: Path,
        save: Callable[[], None],
        default_logs: DefaultLogs,
    ) -> None:
        """``folder`` is for the workspace; it is made and removed."""
        self._context = context
        self._record = record
        self._identity = identity
        self._registry = images
        self._objects = objects
        self._folder = folder
        self._save = save
        self._default_logs = default_logs
        self._held: set[str] = set()
        self._docker = Docker(builder, folder, self._push, self._pull)
        self._lines: list[str] = []
        self._step = "MAIN"
        logging = record.get("options", {}).get("logging", "LOGGING_UNSPECIFIED")
        self._to_logging = logging not in ("NONE", "GCS_ONLY")
        stored = logging in ("GCS_ONLY", "LEGACY", "LOGGING_UNSPECIFIED")
        number = record["name"].split("/")[1]
        self._to_default = stored and record["logsBucket"] == DefaultLogs.bucket(number)
        self._to_bucket = stored and not self._to_default

    async def execute(self) -> None:
        """Run the build; raises `BuildEnded` when it does not succeed. Cancelling it kills what runs."""
        self._check_logging()
        try:
            async with asyncio.timeout(timeout_of(self._record)):
                await self._phases()
        except TimeoutError:
            self._log("TIMEOUT", "ERROR: context deadline exceeded")
            raise BuildEnded(
                "TIMEOUT", "FAILURE_TYPE_UNSPECIFIED", "Build timed out: context deadline exceeded"
            ) from None
        except BuildEnded as ended:
            self._log("ERROR", f"ERROR: {ended.detail.removeprefix('Build step failure: ')}")
            raise
        finally:
            await in_thread(remove_tree, self._folder)

    async def close(self) -> None:
        """Write the log to its bucket and let go of images that were not pushed."""
        for digest in self._held:
            self._registry.release(digest, self._record["name"])
        if self._to_bucket:
            await self._write_log()

    async def _phases(self) -> None:
        self._log(f'starting build "{self._record["id"]}"', "")
        with self._timed(self._record["timing"], "FETCHSOURCE"):
            await self._fetch()
        self._log("BUILD")
        with self._timed(self._record["timing"], "BUILD"):
            for index, step in enumerate(self._record["steps"]):
                await self._run_step(index, step)
        if self._record.get("images"):
            self._log("PUSH")
            with self._timed(self._record["timing"], "PUSH"):
                for name in self._record["images"]:
                    self._push_result(name)
        self._log("DONE")

    # ---------------------------------------------------------------- source

    async def _fetch(self) -> None:
        self._folder.mkdir(parents=True)
        source = self._record.get("sourceProvenance", {}).get("resolvedStorageSource")
        if source is None:
            return
        uri = f"gs://{source['bucket']}/{source['object']}#{source['generation']}"
        self._log("FETCHSOURCE", f"Fetching storage object: {uri}")
        try:
            archive = self._objects.read_object(
                source["bucket"],
                source["object"],
                identity=self._identity,
                generation=int(source["generation"]),
            )
            await in_thread(unpack_tar, archive.path, self._folder)
        except (ApiError, CopyError) as error:
            raise BuildEnded(
                "FAILURE", "FETCH_SOURCE_FAILED", f"failed to fetch storage source {uri}: {error}"
            ) from error

    # ---------------------------------------------------------------- steps

    async def _run_step(self, index: int, step: Json) -> None:
        alone = len(self._record["steps"]) == 1
        title = f'Step #{index} - "{step["id"]}"' if step.get("id") else f"Step #{index}"
        self._step = f"Step #{index}"
        step["status"] = "WORKING"
        self._save()
        if not alone:
            self._log(f"Starting {title}")
        prefix = "" if alone else f"{title}: "
        code = 0
        try:
            with self._timed(step, "timing"):
                async with asyncio.timeout(timeout_of(step) if step.get("timeout") else None):
                    await self._dispatch(step, prefix)
        except StepFailed as failed:
            code = failed.exit_code
        except TimeoutError:
            step["status"] = "TIMEOUT"
            raise BuildEnded(
                "TIMEOUT",
                "FAILURE_TYPE_UNSPECIFIED",
                f'build step {index} "{step["name"]}" timed out after {step["timeout"]}',
            ) from None
        finally:
            self._step = "MAIN"
            for image in self._docker.images.values():
                self._hold(image)
        if not alone:
            self._log(f"Finished {title}")
        tolerated = step.get("allowFailure") or code in step.get("allowExitCodes", ())
        step["status"] = "FAILURE" if code else "SUCCESS"
        if code:
            step["exitCode"] = code
        self._save()
        if code and not tolerated:
            raise BuildEnded(
                "FAILURE",
                "USER_BUILD_STEP",
                f'Build step failure: build step {index} "{step["name"]}" failed: step exited with non-zero status: {code}',
            )

    async def _dispatch(self, step: Json, prefix: str) -> None:
        name = step["name"]
        if not Docker.is_builder(name):
            self._log(
                f'{prefix}The emulator runs the builder gcr.io/cloud-builders/docker only, and this step asks for "{name}".'
            )
            raise StepFailed(1)
        if step.get("entrypoint") not in (None, "", "docker"):
            self._log(
                f'{prefix}The emulator does not run the entrypoint "{step["entrypoint"]}" in {name}, only docker itself.'
            )
            raise StepFailed(1)
        self._log(f"{prefix}Already have image (with digest): {name}")
        env = dict(
            text.split("=", 1)
            for text in [*self._record["options"].get("env", ()), *step.get("env", ())]
            if "=" in text
        )
        folder = step.get("dir", "").removeprefix("/workspace").strip("/")
        if striking("build_out_of_memory"):
            self._log(f"{prefix}Killed")
            raise StepFailed(137)  # 128 + SIGKILL, as docker tells it
        if striking("build_disk_full"):
            self._log(f"{prefix}write /var/lib/docker/tmp/layer: no space left on device")
            raise StepFailed(1)
        await self._docker.run(step.get("args", []), folder, env, lambda line: self._log(prefix + line))

    # ---------------------------------------------------------------- images

    def _push(self, name: str, image: Image) -> str:
        return self._registry.push(self._identity, name, image)

    def _pull(self, name: str) -> Image | None:
        reference = parse_reference(name)
        permission = "artifactregistry.repositories.downloadArtifacts"
        if reference is None or not self._context.iam.allows(
            self._identity, permission, reference.repository
        ):
            return None
        return self._registry.image(name)

    def _hold(self, image: Image) -> None:
        if image.digest not in self._held:
            self._registry.hold(image.digest, self._record["name"])
            self._held.add(image.digest)

    def _push_result(self, name: str) -> None:
        image = self._docker.find(name)
        if image is None:
            raise BuildEnded(
                "FAILURE",
                "PUSH_IMAGE_NOT_FOUND",
                f'failed to find one or more images after execution of build steps: ["{name}"]',
            )
        result: Json = {"name": name}
        self._log(f"Pushing {name}")
        try:
            with self._timed(result, "pushTiming"):
                result["digest"] = push_image(name, image, self._push, self._log)
        except PushRefusedError as error:
            failure = "PUSH_NOT_AUTHORIZED" if error.denied else "PUSH_FAILED"
            raise BuildEnded("FAILURE", failure, f"failed to push {name}: {error}") from error
        if reference := parse_reference(name):
            result["artifactRegistryPackage"] = reference.package
        self._record["results"].setdefault("images", []).append(result)

    # ---------------------------------------------------------------- time and logs

    @contextlib.contextmanager
    def _timed(self, target: Json, key: str) -> Iterator[None]:
        start = clock.timestamp()
        try:
            yield
        finally:
            target[key] = {"startTime": start, "endTime": clock.timestamp()}
            self._save()

    def _check_logging(self) -> None:
        project = self._record["projectId"]
        if self._to_logging and not self._context.iam.allows(
            self._identity, "logging.logEntries.create", f"projects/{project}"
        ):
            self._to_logging = False
            text = _NO_LOGS.format(account=f"projects/{project}/serviceAccounts/{self._identity.email}")
            self._record["warnings"] = [{"text": text, "priority": "ALERT"}]

    def _log(self, *lines: str) -> None:
        """Entries as the page "Viewing build logs" shows them: resource ``build``, label ``build_step``."""
        self._lines += lines
        if self._to_default:
            self._default_logs.add(self._record["id"], lines)
        if not self._to_logging:
            return
        project = self._record["projectId"]
        labels = {"build_id": self._record["id"], "build_trigger_id": "", "project_id": project}
        for line in lines:
            self._context.logs.write(
                project, "cloudbuild", {"type": "build", "labels": labels}, line, severity="INFO",
                labels={"build_step": self._step, "build_tags": ",".join(self._record.get("tags", ()))},
            )  # fmt: skip

    async def _write_log(self) -> None:
        bucket, _, folder = self._record["logsBucket"].removeprefix("gs://").partition("/")
        name = f"{folder.strip('/')}/log-{self._record['id']}.txt".lstrip("/")
        data = "".join(f"{line}\n" for line in self._lines).encode()
        try:
            await self._objects.write_object(
                bucket, name, data, identity=self._identity, content_type="text/plain"
            )
        except ApiError as error:
            raise BuildEnded(
                "FAILURE",
                "LOGGING_FAILURE",
                f"Failure setting up GCS logging: failed to create GCS logging client: error creating logfile: {error}",
            ) from error


def free_workspaces(folder: Path) -> None:
    """Remove what builds left behind that were killed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
