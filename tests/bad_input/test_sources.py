"""Folders of projects that are broken, enormous or mean: a clear message or right handling, little memory and little time."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import socket
import tarfile
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.org.djangogcp.plugins.filter.site_problems import source_problems
from ansible_collections.org.djangogcp.plugins.lookup.django_source import describe
from ansible_collections.org.djangogcp.plugins.module_utils import _source
from ansible_collections.org.djangogcp.plugins.module_utils._source import Archive, SourceError, pack
from ansible_collections.org.djangogcp.plugins.modules import cloudbuild_build

SECRET = "hunter2-hunter2"
MIB = 1024 * 1024
#: Of the processor: more than enough on a slow machine, and far less than reading what is hostile would take.
SECONDS = 20.0


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project that deploys."""
    files = {
        "manage.py": 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n',
        "requirements.txt": "django\ngunicorn\npsycopg2-binary\n",
        "shop/wsgi.py": "application = None\n",
        "Dockerfile": "FROM python:3.13-slim\n",
    }
    for name, text in files.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return tmp_path / "project"


@pytest.fixture
def bounded() -> Iterator[None]:
    """Fails a test that takes long, or more than 100 MiB."""
    tracemalloc.start()
    begin = time.process_time()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.process_time() - begin < SECONDS
    assert peak < 100 * MIB


def refusal(project: Path) -> str:
    """What packing the project fails with."""
    with pytest.raises(SourceError) as caught:
        pack(str(project))
    message = caught.value.message
    assert message.startswith(f"Failed to pack the source {project}: ")
    assert message.isprintable()
    return message.removeprefix(f"Failed to pack the source {project}: ")


def unpacked(archive: Archive) -> dict[str, bytes]:
    """The contents of the files of an archive."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(archive.content))) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]


# ------------------------------------------------------------------ links


@pytest.mark.parametrize(
    "target",
    [
        "/etc/passwd",
        "/",
        "..",
        "../..",
        "../../../../../../etc/passwd",
        "shop/../../outside",
        "../project/manage.py",
    ],
)
def test_a_link_out_of_the_folder_is_refused(project: Path, target: str) -> None:
    (project.parent / "outside").write_text(SECRET, "utf-8")
    (project / "evil").symlink_to(target)
    assert (
        refusal(project) == f"the link evil leads out of it, to {target}. Replace it by a copy or remove it."
    )
    describe(str(project))


def test_a_link_by_way_of_another_link_is_refused(project: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (project / "inner").symlink_to("../outside")
    (project / "second").symlink_to("inner/file")
    assert "leads out of it" in refusal(project)


def test_loops_of_links_are_kept_as_links_and_not_followed(project: Path, bounded: None) -> None:
    (project / "self").symlink_to("self")
    (project / "one").symlink_to("two")
    (project / "two").symlink_to("one")
    (project / "shop" / "up").symlink_to("..")
    archive = pack(str(project))
    assert {"self", "one", "two", "shop/up"} < set(archive.files)
    assert len(archive.files) == 8
    assert describe(str(project))["wsgi_modules"] == ["shop.wsgi:application"]


def test_a_folder_that_is_a_loop_of_links_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SourceError, match="it is not a folder"):
        pack(str(tmp_path / "loop"))
    assert describe(str(tmp_path / "loop"))["exists"] is False


def test_a_link_to_a_secret_brings_no_secret(project: Path) -> None:
    (project / ".env").write_text(SECRET, "utf-8")
    (project / "settings.ini").symlink_to(".env")
    assert SECRET.encode() not in gzip.decompress(pack(str(project)).content)


# ------------------------------------------------------------------ sizes


def test_a_file_of_one_gibibyte_is_refused_unread(project: Path, bounded: None) -> None:
    with (project / "dump.sql").open("wb") as file:
        file.truncate(1024 * MIB)
    assert refusal(project) == "dump.sql alone has more than 512 MiB. List it in .dockerignore."
    (project / ".dockerignore").write_text("dump.sql\n", "utf-8")
    assert "dump.sql" not in pack(str(project)).files


def test_files_that_are_too_much_together_are_refused_unread(project: Path, bounded: None) -> None:
    for number in range(3):
        with (project / f"part{number}").open("wb") as file:
            file.truncate(200 * MIB)
    assert refusal(project) == (
        "it holds more than 20000 files or 512 MiB (reached at 'part2'). "
        "List what does not belong in the image in .dockerignore."
    )


@pytest.mark.parametrize(
    "name", ["requirements.txt", "manage.py", "shop/wsgi.py", "Procfile", ".dockerignore"]
)
def test_a_huge_file_of_text_is_read_only_in_part(project: Path, name: str, bounded: None) -> None:
    with (project / name).open("ab") as file:
        file.truncate(1024 * MIB)
    assert describe(str(project))["exists"] is True


@pytest.fixture
def crowded(project: Path) -> Iterator[Path]:
    """The project with a hundred thousand files in it, in memory where there is such a folder."""
    in_memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=in_memory) as folder:
        copy = Path(shutil.copytree(project, Path(folder) / "project"))
        for number in range(100):
            (copy / f"data{number}").mkdir()
            for one in range(1000):
                os.mknod(f"{copy}/data{number}/{one}")
        yield copy


def test_a_hundred_thousand_files_are_refused_soon(crowded: Path, bounded: None) -> None:
    assert "it holds more than 20000 files or 512 MiB" in refusal(crowded)
    assert describe(str(crowded))["wsgi_modules"] == ["shop.wsgi:application"]
    (crowded / ".dockerignore").write_text("data*\n", "utf-8")
    assert len(pack(str(crowded)).files) == 5


# ------------------------------------------------------------------ names


@pytest.mark.parametrize("name", [b"new\nline", b"tab\t", b"\x1b[2J", b"caf\xe9.py", b"\xff", b"del\x7f"])
@pytest.mark.parametrize("is_folder", [False, True], ids=["file", "folder"])
def test_a_name_that_is_no_text_is_refused(project: Path, name: bytes, is_folder: bool) -> None:
    path = os.path.join(os.fsencode(project), name)
    if is_folder:
        os.mkdir(path)
        path = os.path.join(path, b"file")
    with open(path, "wb"):
        pass
    shown = repr(name + b"/file" if is_folder else name)[1:]
    assert refusal(project) == (
        f"the file name {shown} is not UTF-8 or holds a control character. Rename or remove it."
    )
    describe(str(project))


@pytest.mark.parametrize(
    "name", ["naïve.py", "日本語.txt", "💩", "a b", "'quoted'", "$(id)", "{{ 7 * 7 }}", "-rf", "*"]
)
def test_an_unusual_name_goes_in_as_it_is(project: Path, name: str) -> None:
    (project / name).write_text("x", "utf-8")
    assert name in unpacked(pack(str(project)))


# ------------------------------------------------------------------ what is no file, or cannot be read


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def make_link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [make_pipe, make_socket])
def test_what_is_no_file_is_refused_and_not_waited_for(
    project: Path, make: Callable[[Path], None], bounded: None
) -> None:
    make(project / "odd")
    assert refusal(project) == "odd is neither a file nor a link. Remove it or list it in .dockerignore."


@pytest.mark.parametrize("make", [make_pipe, make_socket, make_link_to_device])
@pytest.mark.parametrize(
    "name", ["manage.py", "requirements.txt", "Dockerfile", "Procfile", ".dockerignore", ".gcloudignore"]
)
def test_what_is_no_file_is_none_where_one_is_expected(
    project: Path, name: str, make: Callable[[Path], None], bounded: None
) -> None:
    (project / name).unlink(missing_ok=True)
    make(project / name)
    found = describe(str(project))
    assert (found["exists"], found["manage_py"]) == (True, name != "manage.py")
    refusal(project)


@pytest.mark.parametrize("name", ["requirements.txt", "Dockerfile", "shop/wsgi.py"])
def test_a_file_that_cannot_be_read_is_named(
    project: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The superuser, as whom tests may run, reads everything.
    really_open = os.open

    def denied(path: str, *arguments: int, **named: int) -> int:
        if str(path).endswith(name):
            raise PermissionError(13, "Permission denied", str(path))
        return really_open(path, *arguments, **named)

    monkeypatch.setattr(os, "open", denied)
    assert refusal(project) == (
        f"cannot read {name}: Permission denied. Make it readable, or list it in .dockerignore."
    )


def test_a_folder_that_cannot_be_read_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really_scan = os.scandir

    def denied(path: str) -> object:
        if str(path).endswith("shop"):
            raise PermissionError(13, "Permission denied", str(path))
        return really_scan(path)

    monkeypatch.setattr(os, "scandir", denied)
    assert refusal(project) == (
        "cannot read the folder 'shop': Permission denied. Make it readable, or list it in .dockerignore."
    )


# ------------------------------------------------------------------ secrets


def samples(pattern: str) -> str:
    """A name that a pattern of a .dockerignore matches."""
    return pattern.removeprefix("**/").replace("[cod]", "c").replace("*", "my")


@pytest.mark.parametrize("pattern", [*_source.LEFTOVERS, *_source.SECRETS])
@pytest.mark.parametrize("folder", [".", "shop/deep"])
def test_secrets_and_leftovers_stay_out_whatever_the_project_says(
    project: Path, pattern: str, folder: str
) -> None:
    path = project / folder / samples(pattern)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SECRET, "utf-8")
    for name in (".dockerignore", ".gcloudignore"):
        (project / name).write_text(f"!{path.name}\n!**/{path.name}\n!**\n", "utf-8")
    assert SECRET.encode() not in gzip.decompress(pack(str(project)).content)


@pytest.mark.parametrize("pattern", [*_source.LEFTOVERS, *_source.SECRETS])
def test_what_stays_out_is_documented(pattern: str) -> None:
    assert f"C({pattern.removeprefix('**/')})" in cloudbuild_build.DOCUMENTATION


@pytest.mark.parametrize("kind", ["service_account", "authorized_user"])
def test_a_key_stays_out_by_its_content_too(project: Path, kind: str) -> None:
    key = {"type": kind, "private_key": SECRET, "refresh_token": SECRET}
    (project / "my-project-0123456789ab.json").write_text(json.dumps(key), "utf-8")
    (project / "fixture.json").write_text('[{"type": "service_account"}]', "utf-8")
    archive = pack(str(project))
    assert SECRET.encode() not in gzip.decompress(archive.content)
    assert "fixture.json" in archive.files


# ------------------------------------------------------------------ what is not UTF-8, or broken

NOT_UTF8 = b"\xff# caf\xe9\n"


def test_a_dockerfile_that_is_not_utf8_is_refused(project: Path) -> None:
    (project / "Dockerfile").write_bytes(NOT_UTF8)
    assert refusal(project) == "Dockerfile is not UTF-8 (invalid start byte). Save it as UTF-8."


@pytest.mark.parametrize(
    "name",
    [
        "manage.py",
        "Dockerfile",
        "requirements.txt",
        "pyproject.toml",
        "Procfile",
        ".python-version",
        ".dockerignore",
    ],
)
def test_preflight_names_a_file_that_is_not_utf8(project: Path, name: str) -> None:
    (project / name).write_bytes(NOT_UTF8)
    assert source_problems(describe(str(project))) == [
        f"djangogcp_source_dir is '{project}': expected files of UTF-8 text, but {name} is not UTF-8 (invalid start byte at byte 0)."
    ]


def test_included_requirements_that_are_not_utf8_are_named(project: Path) -> None:
    (project / "requirements.txt").write_text("-r base.txt\n", "utf-8")
    (project / "base.txt").write_bytes(NOT_UTF8)
    assert "base.txt is not UTF-8" in source_problems(describe(str(project)))[0]


@pytest.mark.parametrize(
    "text",
    ["-r requirements.txt\n", "-r shop/../requirements.txt\n", "-r ../../../etc/passwd\n", "-r /etc/passwd\n", "-r \x00\n",
     "-r " + "a/" * 5000 + "\n"],
)  # fmt: skip
def test_requirements_that_include_themselves_or_others_are_read_once(
    project: Path, text: str, bounded: None
) -> None:
    (project / "requirements.txt").write_text(text + "django\n", "utf-8")
    found = describe(str(project))
    assert found["requirements_files"] == ["requirements.txt"]
    assert "django" in found["requirements"]


@pytest.mark.parametrize(
    "text",
    [
        "project = 5",
        "[project]\ndependencies = 7",
        "[project]\ndependencies = {a = 1}",
        "project = [",
        "a = " + "[" * 5000,
        "\x00",
    ],
)
def test_a_broken_pyproject_has_no_dependencies(project: Path, text: str) -> None:
    (project / "requirements.txt").unlink()
    (project / "pyproject.toml").write_text(text, "utf-8")
    assert describe(str(project))["requirements"] == []


@pytest.mark.parametrize(
    "text", ["(" * 100_000, "-" * 100_000, "x = " + "[" * 1000, "\x00", "def f(:", "a." * 50_000 + "b"]
)
def test_a_broken_wsgi_module_is_none(project: Path, text: str, bounded: None) -> None:
    (project / "shop" / "wsgi.py").write_text(text, "utf-8")
    assert describe(str(project))["wsgi_modules"] == []


@pytest.mark.parametrize(
    "folder",
    ["", "\x00", "x" * 10_000, "~no-such-user/x", "/dev/null", "/proc/self/mem", "{{ 7 * 7 }}", "$(id)"],
)
def test_a_folder_that_is_none_is_described_as_missing(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = describe(folder)
    assert found["manage_py"] is False
    assert len(source_problems(found)) == 1


# ------------------------------------------------------------------ what the project leaves out itself


@pytest.mark.parametrize("name", [".dockerignore", ".gcloudignore"])
@pytest.mark.parametrize(
    "pattern", ["[z-a]", "[", "[]", "**", "***", "!", "\\", "(((", "a" * 10_000, "/", "[!]"]
)
def test_any_pattern_is_taken_or_refused(project: Path, name: str, pattern: str, bounded: None) -> None:
    (project / name).write_text(pattern + "\n", "utf-8")
    if pattern in ("[z-a]", "[!]"):
        assert refusal(project).startswith(f"the pattern '{pattern}' of {name} is wrong (")
    else:
        assert "Dockerfile" in pack(str(project)).files


@pytest.mark.parametrize(
    ("text", "left_out"),
    [
        ("wsgi.py\n", {"shop/wsgi.py"}),
        ("/wsgi.py\n", set()),
        ("shop/\n", {"shop/wsgi.py"}),
        ("*.txt\n!requirements.txt\n", set()),
        ("# a comment\n\nrequirements.txt\n", {"requirements.txt"}),
        ("#!include:.gitignore\n", {"manage.py"}),
        ("#!include:.gcloudignore\nmanage.py\n", {"manage.py"}),
        # As git: what is in a folder that stays out cannot be taken back in.
        ("shop\n!shop/wsgi.py\n", {"shop/wsgi.py"}),
        ("Dockerfile\n", set()),
    ],
)
def test_gcloudignore_is_honoured(project: Path, text: str, left_out: set[str]) -> None:
    (project / ".gitignore").write_text("manage.py\n", "utf-8")
    (project / ".gcloudignore").write_text("", "utf-8")
    everything = set(pack(str(project)).files)
    (project / ".gcloudignore").write_text(text, "utf-8")
    assert everything - set(pack(str(project)).files) == left_out
