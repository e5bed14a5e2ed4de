"""Finding PostgreSQL's server programs, and making from them the PostgreSQL that Cloud SQL offers.

Cloud SQL has a fixed list of extensions (https://cloud.google.com/sql/docs/postgres/extensions). Who may create a database's
objects creates those that PostgreSQL calls trusted, and only a ``cloudsqlsuperuser`` the others: tried on Cloud SQL's
PostgreSQL 17 with pg_trgm and vector in https://github.com/na0fu3y/ochakai/pull/15, where Google's page says it of all.

Stock PostgreSQL decides by two things: whether the extension's control file is there, and whether it says ``trusted``. It
looks for these files relative to the place of its own executable. So in a tree with a copied ``postgres`` and links to
everything else, only the listed control files exist and all say ``trusted``; and the scripts that install the extensions
which are not to be trusted ask first who runs them. No database has to know of it, and the machine is not changed.
"""

from __future__ import annotations

import glob
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

#: Where distributions put the server programs when they are not on PATH: Debian, PGDG's RPMs, Alpine. Before them, where Debian
#: would put those of a virtual environment.
_USUAL_PLACES = (
    f"{glob.escape(sys.prefix)}/lib/postgresql/*/bin",
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
)
_CURATING = threading.Lock()

#: The role whose members may do in Cloud SQL some of what only a superuser may elsewhere.
SUPERUSER_ROLE = "cloudsqlsuperuser"
# A trusted script runs as the superuser; PostgreSQL puts who called it in the place of @extowner@. The words are PostgreSQL's.
_MEMBERS_ONLY = """DO $check$ BEGIN
IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS allowed WHERE allowed.rolname = '{role}'
    AND pg_catalog.pg_has_role('@extowner@'::pg_catalog.regrole, allowed.oid, 'MEMBER')) THEN
  RAISE insufficient_privilege USING MESSAGE = 'permission denied to create extension "{extension}"',
    HINT = 'Must be superuser to create this extension.';
END IF;
END $check$;
"""


@dataclass(frozen=True)
class PostgresBinaries:
    """One installed PostgreSQL server.

    ``version`` is PostgreSQL's own, for example ``15.18``; ``extensions`` are the names with a control file; ``behind`` the
    folders that links in the others lead to.
    """

    version: str
    bin_dir: Path
    share_dir: Path
    extensions: frozenset[str]
    behind: tuple[Path, ...] = ()

    @property
    def folders(self) -> tuple[Path, ...]:
        """All that a program of this server must reach."""
        return (self.bin_dir.parent, self.share_dir, *self.behind)

    @property
    def major(self) -> int:
        return int(re.match(r"\d+", self.version).group())  # type: ignore[union-attr]

    def program(self, name: str) -> str:
        """The path of one of the programs, for example ``initdb``."""
        return str(self.bin_dir / name)


def find_binaries(extra: Iterable[Path] = ()) -> list[PostgresBinaries]:
    """The installed PostgreSQL servers, newest first, each version once.

    Looks at ``extra`` (folders of programs), PATH, ``lib/postgresql`` of the virtual environment, the distributions' usual places
    and the Python package ``pgserver``, in this order.
    """
    places = [*extra, *(Path(entry) for entry in os.get_exec_path())]
    for pattern in _USUAL_PLACES:
        places += sorted(Path("/").glob(pattern.lstrip("/")))
    packaged = importlib.util.find_spec("pgserver")
    if packaged is not None and packaged.origin is not None:
        places.append(Path(packaged.origin).parent / "pginstall" / "bin")
    found: dict[str, PostgresBinaries] = {}
    seen: set[Path] = set()
    for place in places:
        server = place / "postgres"
        if not (server.is_file() and os.access(server, os.X_OK)):
            continue
        bin_dir = server.resolve().parent
        if bin_dir in seen:
            continue
        seen.add(bin_dir)
        binaries = _inspect(bin_dir)
        if binaries:
            found.setdefault(binaries.version, binaries)
    return sorted(
        found.values(), key=lambda one: tuple(int(part) for part in one.version.split(".")), reverse=True
    )


def nearest(candidates: list[PostgresBinaries], major: int) -> PostgresBinaries:
    """The server of that major version, else the one whose major is nearest (the newer of two equally near)."""
    if not candidates:
        raise LookupError("No PostgreSQL server programs were found.")
    return min(candidates, key=lambda one: (abs(one.major - major), -one.major))


def _inspect(bin_dir: Path) -> PostgresBinaries | None:
    if not (bin_dir / "initdb").is_file():
        return None
    answer = subprocess.run(
        [bin_dir / "postgres", "--version"], capture_output=True, text=True, check=False
    ).stdout
    version = re.search(r"\d+(?:\.\d+)*", answer)
    if version is None:
        return None
    share_dir = _share_dir(bin_dir, version.group().split(".")[0])
    if share_dir is None:
        return None
    controls = (share_dir / "extension").glob("*.control")
    return PostgresBinaries(version.group(), bin_dir, share_dir, frozenset(path.stem for path in controls))


def _share_dir(bin_dir: Path, major: str) -> Path | None:
    """``initdb --show`` would tell, but refuses to run as root; pg_config is not always there."""
    candidates = [
        bin_dir.parent / "share/postgresql",
        bin_dir.parent / "share",
        Path("/usr/share/postgresql") / major,
        Path("/usr/share/pgsql"),
    ]
    if (bin_dir / "pg_config").is_file():
        command = [str(bin_dir / "pg_config"), "--sharedir"]
        told = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        if told:
            candidates.insert(0, Path(told))
    for candidate in candidates:
        if (candidate / "extension/plpgsql.control").is_file():
            return candidate.resolve()
    return None


def curate(
    binaries: PostgresBinaries, directory: Path, allowed: frozenset[str], trusted: frozenset[str]
) -> PostgresBinaries:
    """The same server with only the ``allowed`` extensions, of which all may create the ``trusted`` ones, and only members of
    ``cloudsqlsuperuser`` the others.

    The tree is made once below ``directory``, which several servers and threads may share. PostgreSQL before 13 has no
    trusted extensions and is returned as it is.
    """
    if binaries.major < 13:
        return binaries
    with _CURATING:
        return _curated(binaries, directory, allowed, trusted)


def _curated(
    binaries: PostgresBinaries, directory: Path, allowed: frozenset[str], trusted: frozenset[str]
) -> PostgresBinaries:
    extensions = binaries.extensions & (allowed | {"plpgsql"})
    directory = directory.resolve()
    tree = directory / f"postgresql-{binaries.version}"
    curated = PostgresBinaries(
        binaries.version,
        _below(tree, binaries.bin_dir),
        _below(tree, binaries.share_dir),
        extensions,
        binaries.folders,
    )
    files = _own_files(binaries, extensions, trusted | {"plpgsql"})
    if _holds(curated.share_dir / "extension", files):
        return curated
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".postgresql-") as name:
        new = Path(name) / "tree"
        _build(binaries, new, files)
        shutil.rmtree(tree, ignore_errors=True)
        new.rename(tree)
    return curated


def _own_files(
    binaries: PostgresBinaries, extensions: frozenset[str], trusted: frozenset[str]
) -> dict[str, bytes]:
    """The control files and scripts that differ from the distribution's, by name."""
    folder = binaries.share_dir / "extension"
    files: dict[str, bytes] = {}
    for extension in extensions:
        control = (folder / f"{extension}.control").read_bytes()
        scripts = {} if extension in trusted else _guarded_scripts(folder, extension)
        if extension in trusted or scripts:
            control = re.sub(rb"(?m)^trusted\s*=.*\n?", b"", control).rstrip(b"\n") + b"\ntrusted = true\n"
        files |= {f"{extension}.control": control, **scripts}
    return files


def _guarded_scripts(folder: Path, extension: str) -> dict[str, bytes]:
    """The scripts that install an extension, ``NAME--VERSION.sql``; those that update it are for its owner only."""
    check = _MEMBERS_ONLY.format(role=SUPERUSER_ROLE, extension=extension).encode()
    scripts = [path for path in folder.glob(f"{extension}--*.sql") if path.stem.count("--") == 1]
    return {path.name: check + path.read_bytes() for path in scripts}


def _holds(folder: Path, files: dict[str, bytes]) -> bool:
    """Whether a tree that was made before has these files, and no other control files."""
    if {path.name for path in folder.glob("*.control")} != {name for name in files if _is_control(name)}:
        return False
    return all(
        (folder / name).is_file() and (folder / name).read_bytes() == content
        for name, content in files.items()
    )


def _is_control(name: str) -> bool:
    return name.endswith(".control")


def _below(tree: Path, path: Path) -> Path:
    return tree / path.relative_to("/")


def _build(binaries: PostgresBinaries, tree: Path, files: dict[str, bytes]) -> None:
    extension_dir = binaries.share_dir / "extension"
    own = {binaries.bin_dir, binaries.share_dir, extension_dir, *binaries.share_dir.parents}
    _mirror(binaries.bin_dir.parent, _below(tree, binaries.bin_dir.parent), own)
    if not _below(tree, binaries.share_dir).is_dir():
        _mirror(binaries.share_dir, _below(tree, binaries.share_dir), own)
    # The executable itself decides where its files are looked for, and it is found through links: so it is copied.
    server = _below(tree, binaries.bin_dir) / "postgres"
    server.unlink()
    shutil.copy2(binaries.bin_dir / "postgres", server)
    folder = _below(tree, extension_dir)
    for control in folder.glob("*.control"):
        control.unlink()
    for name, content in files.items():
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_bytes(content)


def _mirror(source: Path, target: Path, own: set[Path]) -> None:
    """Links to all that ``source`` holds; the folders in ``own`` become folders of the tree's own."""
    target.mkdir(parents=True, exist_ok=True)
    target.chmod(0o755)
    for entry in source.iterdir():
        if entry in own:
            _mirror(entry, target / entry.name, own)
        else:
            (target / entry.name).symlink_to(entry)
