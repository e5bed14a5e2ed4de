"""Build an image with the container engine.

A build reaches the package registries that this machine reaches: its proxy travels in the build arguments that docker
keeps out of the image, its certificates and pip's settings as build secrets, which are there while a RUN runs. For those the
Dockerfile is given mounts; on a machine that sets neither it is built as it is.
"""

from __future__ import annotations

import asyncio
import configparser
import contextlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gcp_emulator.workloads.build.builder import BuildFailed
from gcp_emulator.workloads.build.cache import in_thread
from gcp_emulator.workloads.build.dockerfile import DockerfileError, parse
from gcp_emulator.workloads.build.run import PROXY_VARIABLES, HostAccess, Log, pass_lines
from gcp_emulator.workloads.docker.command import DockerError
from gcp_emulator.workloads.images import Image
from gcp_emulator.workloads.sandbox.process import LINE_LIMIT

# Each names a file of certificates for some programs.
_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
_SECRETS = "/run/gcp-emulator"
_LOOPBACK = ("127.", "localhost", "[::1]")
# Settings that say where packages come from; any other setting is a matter of taste, or names a folder of this machine.
_PIP_SETTINGS = frozenset({"index-url", "extra-index-url", "trusted-host", "proxy"})


class EngineBuilder:
    """Builds with ``docker build``."""

    def __init__(self, folder: Path, host: HostAccess) -> None:
        self._folder = folder
        self._host = host

    async def build_id(
        self,
        context_dir: Path,
        dockerfile: str = "Dockerfile",
        *,
        build_args: Mapping[str, str] | None = None,
        target: str | None = None,
        buildkit: bool = True,
        log: Log,
    ) -> str:
        """The engine's id of what is built. BuildFailed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            work = Path(name)
            path = context_dir / dockerfile
            options = ["--file", str(path)]
            if buildkit and path.is_file():
                options = self._secrets(path, work, log) or options
            for argument, value in (build_args or {}).items():
                options += ["--build-arg", f"{argument}={value}"]
            if target:
                options += ["--target", target]
            options += ["--iidfile", str(work / "image")]
            await self._run([*options, *self._proxies(), str(context_dir)], buildkit=buildkit, log=log)
            return (work / "image").read_text("ascii").strip()

    async def _run(self, arguments: list[str], *, buildkit: bool, log: Log) -> None:
        env = {**os.environ, **self._host.env, "DOCKER_BUILDKIT": "1" if buildkit else "0"}
        # Without BuildKit, a RUN that fails would leave its container behind.
        arguments = [*(["--progress", "plain"] if buildkit else ["--force-rm"]), *arguments]
        try:
            process = await asyncio.create_subprocess_exec(
                "docker", "build", *arguments, env=env, start_new_session=True, limit=LINE_LIMIT,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
        except FileNotFoundError:
            raise BuildFailed("", None, "the program 'docker' is not in PATH") from None
        assert process.stdout
        try:
            await pass_lines(process.stdout, log)
            status = await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if status != 0:
            raise BuildFailed("", status, "The build failed; docker's own words are above.")

    def _proxies(self) -> list[str]:
        """The proxy as arguments whose values docker takes from its environment."""
        names = [name for name in self._host.env if name.upper() in PROXY_VARIABLES]
        options = [word for name in names for word in ("--build-arg", name)]
        proxies = [self._host.env[name] for name in names if name.upper() != "NO_PROXY"]
        if any(part in proxy for proxy in proxies for part in _LOOPBACK):
            options += ["--network", "host"]
        return options

    def _secrets(self, dockerfile: Path, work: Path, log: Log) -> list[str]:
        """Options that give certificates and pip's settings to every RUN; none when there are none."""
        found: dict[str, tuple[Path, tuple[str, ...]]] = {}
        settings = pip_settings(self._host.env)
        bundles = [self._host.env.get(name, "") for name in _CA_VARIABLES] + [settings.get("cert", "")]
        if bundle := next((Path(name) for name in bundles if name and Path(name).is_file()), None):
            found["ca.pem"] = (bundle, _CA_VARIABLES)
        if text := pip_configuration(settings):
            (work / "pip.conf").write_text(text, "utf-8")
            found["pip.conf"] = (work / "pip.conf", ("PIP_CONFIG_FILE",))
        if not found:
            return []
        try:
            text = _with_mounts(
                dockerfile.read_bytes(), {name: variables for name, (_, variables) in found.items()}
            )
        except DockerfileError as error:
            log(
                f"Note: this machine's certificates and pip's settings are not there while this runs: {error}"
            )
            return []
        (work / "Dockerfile").write_text(text, "utf-8")
        ignored = dockerfile.with_name(dockerfile.name + ".dockerignore")
        if ignored.is_file():
            (work / "Dockerfile.dockerignore").write_bytes(ignored.read_bytes())
        options = ["--file", str(work / "Dockerfile")]
        for name, (source, _) in found.items():
            options += ["--secret", f"id=gcp-emulator-{name},src={source}"]
        return options


class DockerBuilder(EngineBuilder):
    """Builds images of the emulator's: ``adopt`` takes the engine's id of what was built."""

    def __init__(self, folder: Path, adopt: Callable[[str], Image], host: HostAccess) -> None:
        super().__init__(folder, host)
        self._adopt = adopt

    async def build(
        self,
        context_dir: Path,
        dockerfile: str = "Dockerfile",
        *,
        build_args: Mapping[str, str] | None = None,
        target: str | None = None,
        buildkit: bool = True,
        machine: set[str] | None = None,
        cache_from: Sequence[Image] = (),
        inline_cache: bool = False,
        log: Log,
    ) -> Image:
        """See `gcp_emulator.workloads.runtime.ImageBuilder`. The engine's own cache stands in for that of images."""
        built = await self.build_id(
            context_dir, dockerfile, build_args=build_args, target=target, buildkit=buildkit, log=log
        )
        try:
            image = await in_thread(self._adopt, built)
        except DockerError as error:
            raise BuildFailed("", None, str(error)) from error
        log(f"Successfully built {image.digest.removeprefix('sha256:')[:12]}")
        return image

    async def close(self) -> None:
        """Nothing is left behind."""


def pip_configuration(settings: Mapping[str, str]) -> str:
    """A ``pip.conf`` of those settings that say where packages come from; "" where none does."""
    kept = {name: value for name, value in settings.items() if name in _PIP_SETTINGS}
    # Several addresses are several lines, each indented.
    lines = [f"{name} = {value}\n".replace("\n", "\n ") for name, value in kept.items()]
    return "\n".join(["[global]", *lines]) if kept else ""


def pip_settings(env: Mapping[str, str]) -> dict[str, str]:
    """pip's global settings on this machine, from its file and its variables."""
    parser = configparser.RawConfigParser()
    with contextlib.suppress(configparser.Error, UnicodeDecodeError):
        parser.read([env.get("PIP_CONFIG_FILE", "/etc/pip.conf")], encoding="utf-8")
    values = dict(parser["global"]) if parser.has_section("global") else {}
    variables = {
        name.removeprefix("PIP_").lower().replace("_", "-"): value
        for name, value in env.items()
        if name.startswith("PIP_")
    }
    return values | variables


def _with_mounts(dockerfile: bytes, secrets: Mapping[str, tuple[str, ...]]) -> str:
    """The same Dockerfile with each secret (file name -> the variables that name the file) in every RUN.

    An ARG is a variable of the commands, not of the image. Raises `DockerfileError`.
    """
    parsed = parse(dockerfile)
    arguments = "".join(
        f"\nARG {variable}={_SECRETS}/{name}" for name, variables in secrets.items() for variable in variables
    )
    mounts = "".join(
        f" --mount=type=secret,id=gcp-emulator-{name},target={_SECRETS}/{name},mode=0444" for name in secrets
    )
    lines = dockerfile.decode("utf-8-sig").splitlines()
    for stage in parsed.stages:
        for instruction in stage.instructions:
            if instruction.keyword == "RUN":
                number = instruction.line - 1
                indent = len(lines[number]) - len(lines[number].lstrip()) + len("RUN")
                lines[number] = lines[number][:indent] + mounts + lines[number][indent:]
    # From the end, so that the numbers of the lines above stay right.
    for stage in reversed(parsed.stages):
        end = _end(lines, stage.origin.line - 1, parsed.escape)
        lines[end] += arguments
    return "\n".join(lines) + "\n"


def _end(lines: list[str], first: int, escape: str) -> int:
    """The last line of the instruction that begins at ``first``."""
    number = first
    while lines[number].rstrip(" \t").endswith(escape) and number + 1 < len(lines):
        number += 1
    return number
