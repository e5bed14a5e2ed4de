"""A container engine for machines that have none, and the base images where no registry answers.

Usage: engine.py up | down | env | status

``up`` uses the engine that answers. Without one it unpacks Debian's packages of Docker, Compose and buildx into its own
folder (only their helpers ``runc`` and ``iptables`` are installed), and starts the daemon: for that it needs root on a
Debian machine. Then it pulls the images that compose.yaml, app/Dockerfile and Molecule's servers name; where no registry answers
it makes stand-ins for them under the same names: Debian's Python, PostgreSQL and MySQL, the real Go programs by ``go install``, and
Debian itself. Each carries the label `STAND_IN` and is named in the output. ``down`` stops the daemon if ``up`` started it. All is kept in
ENGINE_HOME (default ~/.cache/djangogcp/engine), so that the next ``up`` takes seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("ENGINE_HOME") or Path.home() / ".cache" / "djangogcp" / "engine").resolve()
#: The label of every image that is not what its name says; its value tells what it is.
STAND_IN = "io.djangogcp.stand-in"
#: The oldest engine and Compose that compose.yaml works with: start_interval of health checks, and the variables of the
#: environment in a file that is included (2.20 looks for them in a file .env alone).
MINIMUM = {"engine": (25, 0), "compose": (2, 21)}
#: The Debian release that the packages and the stand-ins are from: the newest stable one, with PostgreSQL 17.
RELEASE = "trixie"
PACKAGES = ("containerd", "docker-buildx", "docker-cli", "docker-compose", "docker.io")
_BASE = "djangogcp/stand-in-base"
_UNPACKED = HOME / "programs"
_DATA = HOME / "data"
_PID_FILE = HOME / "dockerd.pid"
_LOG = HOME / "dockerd.log"
_START_SECONDS = 60


class EngineError(Exception):
    """A message for the person at the terminal."""


@dataclass(frozen=True)
class Image:
    """A base image and what stands in for it: the folder of its Dockerfile below stand_ins/, its build arguments, and
    the Go program that it carries; or, without a folder, a release of Debian as it is. What only some tests need is
    ``optional``: where it cannot be had, it is said in one line."""

    name: str
    folder: str
    what: str
    arguments: tuple[str, ...] = ()
    go: str = ""
    release: str = RELEASE
    optional: bool = False


IMAGES = (
    Image("python:3.13-slim", "python", f"Debian {RELEASE}'s Python 3.13"),
    Image("postgres:17", "postgres", f"Debian {RELEASE}'s PostgreSQL 17", ("MAJOR=17",)),
    # The one with packages of an unstable distribution, which at times cannot be installed.
    Image("mysql:8.4", "mysql", "Debian sid's MySQL, a later one", optional=True),
    Image(
        "gcr.io/cloud-sql-connectors/cloud-sql-proxy:2.27.0",
        "cloud-sql-proxy",
        "cloud-sql-proxy 2.27.0, built from its Go module",
        go="github.com/GoogleCloudPlatform/cloud-sql-proxy/v2@v2.27.0",
    ),
    Image(
        "fsouza/fake-gcs-server:1.56.1",
        "fake-gcs-server",
        "fake-gcs-server 1.56.1, built from its Go module",
        go="github.com/fsouza/fake-gcs-server@v1.56.1",
    ),
    # The hosts of the server roles.
    Image("debian:12-slim", "", "Debian bookworm", release="bookworm", optional=True),
    Image("debian:13-slim", "", "Debian trixie", release="trixie", optional=True),
)


def main() -> int:
    """Runs one verb; returns the exit status."""
    parser = argparse.ArgumentParser(prog="engine.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("verb", choices=list(_VERBS))
    try:
        return _VERBS[parser.parse_args().verb]()
    except EngineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def up() -> int:
    """Sees to an engine and to the images."""
    HOME.mkdir(parents=True, exist_ok=True)
    if version() is None:
        _unpack()
        _start()
    _check_versions()
    missing = [image for image in IMAGES if not _present(image.name)]
    if missing and not _pull(missing):
        # Some may have been pulled before the registry fell silent.
        _stand_in([image for image in missing if not _present(image.name)])
    return status()


def down() -> int:
    """Stops the daemon that `up` started, with its containers; another one is left alone."""
    pid = _own_pid()
    if pid is None:
        print("the engine was not started here: nothing to stop")
        return 0
    os.kill(pid, signal.SIGTERM)
    _until(lambda: _own_pid() is None, f"the engine (pid {pid}) does not stop; see {_LOG}")
    print("the engine is stopped")
    return 0


def env() -> int:
    """Prints the variables for a shell."""
    for name, value in environment().items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def status() -> int:
    """Says which engine answers, and which images are stand-ins; exit status 3 without an engine, 4 without an image."""
    found = version()
    if found is None:
        print("no container engine answers")
        return 3
    print(
        f"Docker engine {found['engine']}, Compose {found['compose']}, {shutil.disk_usage(HOME).free >> 30} GiB free"
    )
    complete = True
    for image in IMAGES:
        label = _docker(
            "image", "inspect", "--format", f'{{{{index .Config.Labels "{STAND_IN}"}}}}', image.name
        )
        origin = f"STAND-IN, {label}" if label else "missing" if label is None else "from the registry"
        print(f"  {image.name}: {origin}")
        complete = complete and (label is not None or image.optional)
    return 0 if complete else 4


def environment() -> dict[str, str]:
    """The variables with which ``docker`` and its plug-ins are found; empty when the machine has its own."""
    if not (_UNPACKED / "usr").exists() or (_own_pid() is None and version({}) is not None):
        return {}
    folders = [str(_UNPACKED / "usr" / "bin"), str(_UNPACKED / "usr" / "sbin")]
    path = [part for part in os.environ["PATH"].split(os.pathsep) if part not in folders]
    return {"DOCKER_CONFIG": str(HOME / "config"), "PATH": os.pathsep.join([*folders, *path])}


def version(variables: dict[str, str] | None = None) -> dict[str, str] | None:
    """The versions of the engine that answers and of its Compose ('none' without); None without an engine."""
    engine = _docker("version", "--format", "{{.Server.Version}}", variables=variables)
    if not engine:
        return None
    compose = _docker("compose", "version", "--short", variables=variables)
    return {"engine": engine, "compose": (compose or "none").removeprefix("v")}


# The engine ------------------------------------------------------------------------------------------------------


def _unpack() -> None:
    """Debian's packages below HOME; nothing of them is installed."""
    if os.geteuid() != 0:
        raise EngineError(
            "no container engine answers, and only root may start one: start yours, or run this as root"
        )
    _install_helpers("runc", "iptables")
    if (_UNPACKED / "usr").exists():
        return
    apt = HOME / "apt"
    (apt / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    _sources().write_text(_source_lines(RELEASE), "utf-8")
    options = [
        *("-o", f"Dir::Etc::SourceList={_sources()}", "-o", "Dir::Etc::SourceParts=/dev/null"),
        *(
            "-o",
            f"Dir::State::Lists={apt / 'lists'}",
            "-o",
            f"Dir::Cache={apt}",
            "-o",
            "APT::Sandbox::User=root",
        ),
    ]
    print(f"==> unpacking Debian {RELEASE}'s {', '.join(PACKAGES)} into {HOME}", flush=True)
    _run("apt-get", *options, "-qq", "update")
    with tempfile.TemporaryDirectory(dir=HOME) as folder:
        _run("apt-get", *options, "-qq", "download", *PACKAGES, cwd=folder)
        for package in Path(folder).glob("*.deb"):
            _run("dpkg", "--extract", str(package), f"{folder}/tree")
        (HOME / "config").mkdir(exist_ok=True)
        plugins = {"cliPluginsExtraDirs": [str(_UNPACKED / "usr/libexec/docker/cli-plugins")]}
        (HOME / "config" / "config.json").write_text(json.dumps(plugins), "utf-8")
        # The last step: what is there is complete.
        Path(folder, "tree").rename(_UNPACKED)


def _sources() -> Path:
    return HOME / "apt" / "sources.list"


def _source_lines(release: str) -> str:
    """The machine's own Debian mirrors, asked for a release."""
    listed = _run(
        "apt-get", "indextargets", "--format", "$(SITE) $(CODENAME) $(ORIGIN)", "Created-By: Packages"
    )
    suites = set()
    for site, codename, origin in (
        line.split(maxsplit=2) for line in listed.splitlines() if line.count(" ") >= 2
    ):
        if origin == "Debian":
            pocket = codename.partition("-")[2]
            suites.add((site, f"{release}-{pocket}" if pocket else release))
    if not suites:
        raise EngineError(
            "no container engine answers, and this machine's apt knows no Debian mirror to take one from: install Docker"
        )
    return "".join(f"deb {site} {suite} main\n" for site, suite in sorted(suites))


def _install_helpers(*names: str) -> None:
    missing = [
        name for name in names if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None
    ]
    if missing:
        print(f"==> installing the packages {' '.join(missing)}", flush=True)
        _run("apt-get", "-qq", "update")
        variables = {"DEBIAN_FRONTEND": "noninteractive"}
        _run("apt-get", "-qq", "install", "-y", "--no-install-recommends", *missing, variables=variables)


def _start() -> None:
    # It outlives the temporary folder of whoever starts it, and its runc writes there whenever something is run in a container.
    temporary = HOME / "tmp"
    temporary.mkdir(exist_ok=True)
    with _LOG.open("ab") as log:
        process = subprocess.Popen(
            [
                *("dockerd", "--data-root", str(_DATA), "--exec-root", str(HOME / "exec")),
                *("--pidfile", str(_PID_FILE), "--group", "root"),
            ],
            env={**os.environ, **environment(), "TMPDIR": str(temporary)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def answers() -> bool:
        if process.poll() is not None:
            raise EngineError(f"the engine did not start: {_LOG.read_text('utf-8').strip().splitlines()[-1]}")
        return version() is not None

    _until(answers, f"the engine does not answer; see {_LOG}")
    print(f"==> the engine runs (pid {process.pid}); `python3 tools/engine.py down` stops it", flush=True)


def _own_pid() -> int | None:
    """The process of the daemon that `up` started, as long as it lives."""
    try:
        pid = int(_PID_FILE.read_text("utf-8"))
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if str(_DATA).encode() in command else None


def _check_versions() -> None:
    found = version() or {}
    for name, minimum in MINIMUM.items():
        text = found.get(name, "none")
        numbers = tuple(int(part) for part in text.split("+")[0].split(".")[:2] if part.isdigit())
        if numbers < minimum:
            wanted = ".".join(map(str, minimum))
            raise EngineError(
                f"the {name} that answers is {text}; compose.yaml needs {wanted} or newer: update Docker"
            )


# The images ------------------------------------------------------------------------------------------------------


def _present(name: str) -> bool:
    return _docker("image", "inspect", "--format", "{{.Id}}", name) is not None


def _pull(images: list[Image]) -> bool:
    """False when no registry answers."""
    for image in images:
        print(f"==> pulling {image.name}", flush=True)
        if _docker("pull", "--quiet", image.name) is None:
            print("==> no registry answers", flush=True)
            return False
    return True


def _stand_in(images: list[Image]) -> None:
    """Makes stand-ins; the Go programs are built while Debian is unpacked."""
    with ThreadPoolExecutor() as pool:
        programs = {image: pool.submit(_go_install, image.go) for image in images if image.go}
        if any(image.folder for image in images) and not _present(_BASE):
            _make_base(_BASE, RELEASE)
        for image in images:
            print(f"==> making a STAND-IN for {image.name}: {image.what}", flush=True)
            try:
                if image.folder:
                    _build(image, programs[image].result() if image.go else None)
                else:
                    _make_base(image.name, image.release)
            except EngineError as error:
                if not image.optional:
                    raise
                print(f"==> without {image.name}: {str(error).splitlines()[-1]}", flush=True)


def _build(image: Image, program: Path | None) -> None:
    with tempfile.TemporaryDirectory(dir=HOME) as folder:
        shutil.copytree(ROOT / "tools" / "stand_ins" / image.folder, folder, dirs_exist_ok=True)
        shutil.copy(_authorities(), Path(folder, "ca-certificates.crt"))
        if program is not None:
            shutil.copy(program, Path(folder, "program"))
        arguments = [word for argument in image.arguments for word in ("--build-arg", argument)]
        label = f"{STAND_IN}={image.what}"
        _run("docker", "build", "-q", "--label", label, *arguments, "--tag", image.name, folder)


def _make_base(name: str, release: str) -> None:
    """The image ``name``: Debian without what a container does not need, and with the certificate authorities that this machine trusts."""
    _install_helpers("mmdebstrap")
    print(f"==> unpacking Debian {release} for the stand-ins", flush=True)
    dropped = [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "info", "locale", "man")]
    options = ["--variant=apt", "--include=ca-certificates", *dropped, "--dpkgopt=force-unsafe-io"]
    trust = f'cp {shlex.quote(str(_authorities()))} "$1/etc/ssl/certs/ca-certificates.crt"'
    with tempfile.TemporaryDirectory(dir=HOME) as folder:
        sources = Path(folder, "sources.list")
        sources.write_text(_source_lines(release), "utf-8")
        archive = f"{folder}/base.tar"
        _run("mmdebstrap", "--quiet", *options, f"--customize-hook={trust}", release, archive, str(sources))
        _run("docker", "import", "--change", f"LABEL {STAND_IN}='Debian {release}'", archive, name)


def _authorities() -> Path:
    path = Path("/etc/ssl/certs/ca-certificates.crt")
    if not path.exists():
        raise EngineError(f"{path} is missing: install the package ca-certificates")
    return path


def _go_install(module: str) -> Path:
    """The program of a Go module, built once and without the C library."""
    target = HOME / "go" / module.replace("/", "_")
    program = target / module.partition("@")[0].removesuffix("/v2").rpartition("/")[2]
    if program.exists():
        return program
    go = shutil.which("go", path=f"{os.environ['PATH']}:/usr/local/go/bin")
    if go is None:
        raise EngineError(f"no registry answers, and there is no Go toolchain to build {module}: install Go")
    _run(
        go,
        "install",
        "-trimpath",
        "-ldflags=-s -w",
        module,
        variables={"GOBIN": str(target), "CGO_ENABLED": "0"},
    )
    return program


# Processes -------------------------------------------------------------------------------------------------------


def _docker(*arguments: str, variables: dict[str, str] | None = None) -> str | None:
    """What ``docker`` prints; None when it fails or is not there."""
    known = environment() if variables is None else variables
    try:
        done = subprocess.run(
            ["docker", *arguments], env={**os.environ, **known}, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _run(*command: str, cwd: str | None = None, variables: dict[str, str] | None = None) -> str:
    """Runs a command that has to succeed and returns what it prints."""
    surroundings = {**os.environ, **(environment() if command[0] == "docker" else {}), **(variables or {})}
    done = subprocess.run(command, cwd=cwd, env=surroundings, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise EngineError(f"{shlex.join(command)} failed:\n{(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def _until(condition: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise EngineError(complaint)
        time.sleep(0.1)


_VERBS = {"up": up, "down": down, "env": env, "status": status}

if __name__ == "__main__":
    sys.exit(main())
