# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gzip
import io
import os
import tarfile

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils import _source
from ansible_collections.org.djangogcp.plugins.module_utils._source import SourceError, pack


@pytest.fixture
def project(tmp_path):
    """A small Django project."""
    for name in ("manage.py", "requirements.txt", "site/settings.py", "site/static/site.css"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")
    return tmp_path


def names_in(archive):
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(archive.content))) as tar:
        return {member.name: member for member in tar.getmembers()}


def test_the_same_files_give_the_same_bytes_whatever_their_times(project):
    first = pack(str(project))
    os.utime(project / "manage.py", (1, 1))
    second = pack(str(project))
    assert first.content == second.content
    assert first.digest == second.digest


def test_a_changed_file_changes_the_digest(project):
    before = pack(str(project)).digest
    (project / "manage.py").write_text("# changed\n")
    assert pack(str(project)).digest != before


def test_a_changed_mode_changes_the_digest(project):
    before = pack(str(project)).digest
    (project / "manage.py").chmod(0o755)
    assert pack(str(project)).digest != before


def test_everything_of_the_project_goes_in(project):
    assert pack(str(project)).files == (
        "manage.py",
        "requirements.txt",
        "site/settings.py",
        "site/static/site.css",
    )


@pytest.mark.parametrize(
    "name",
    [
        ".env",
        ".env.production",
        ".env-local",
        ".envs/.production/.django",
        "site/.env",
        ".git/config",
        "secrets/bucket.pem",
        "secrets/server.key",
        "my-service-account.json",
        "gcp-credentials.json",
        "site/__pycache__/settings.cpython-311.pyc",
        "venv/bin/python",
        "node_modules/left/index.js",
        "db.sqlite3",
        "data/shop.sqlite",
        "data/shop.sqlite-wal",
        "backups/monday.pgdump",
    ],
)
def test_secrets_and_leftovers_never_go_in(project, name):
    path = project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("hunter2")
    assert name not in pack(str(project)).files
    assert b"hunter2" not in gzip.decompress(pack(str(project)).content)


@pytest.mark.parametrize(
    ("patterns", "left_out"),
    [
        ("site/static", {"site/static/site.css"}),
        ("*.txt", {"requirements.txt"}),
        ("**/*.css", {"site/static/site.css"}),
        ("# a comment\n\nsite\n!site/settings.py", {"site/static/site.css"}),
        ("s?te", {"site/settings.py", "site/static/site.css"}),
        ("/requirements.txt", {"requirements.txt"}),
        ("site/*.py", {"site/settings.py"}),
    ],
)
def test_dockerignore_is_honoured(project, patterns, left_out):
    everything = set(pack(str(project)).files)
    (project / ".dockerignore").write_text(patterns)
    assert everything - set(pack(str(project)).files) == left_out


def test_a_dockerignore_cannot_bring_secrets_back(project):
    (project / ".dockerignore").write_text("!.env\n")
    (project / ".env").write_text("hunter2")
    assert ".env" not in pack(str(project)).files


def test_extra_files_replace_those_of_the_folder(project):
    (project / "Dockerfile").write_text("FROM scratch\n")
    archive = pack(str(project), {"Dockerfile": "FROM python:3.11-slim\n"})
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(archive.content))) as tar:
        assert tar.extractfile("Dockerfile").read() == b"FROM python:3.11-slim\n"


def test_extra_files_are_built_whatever_the_project_leaves_out(project):
    (project / ".dockerignore").write_text("**\n!manage.py")
    archive = pack(str(project), {"Dockerfile": "FROM x", ".overlay/a/b.py": "b"})
    with tarfile.open(fileobj=io.BytesIO(archive.content)) as tar:
        ignored = tar.extractfile(".dockerignore").read().decode()
        assert tar.extractfile(".overlay/a/b.py").read() == b"b"
    # The builder reads it again.
    assert ignored == "**\n!manage.py\n!.overlay/a/b.py\n"


def test_links_inside_the_folder_are_kept(project):
    (project / "link.py").symlink_to("manage.py")
    assert names_in(pack(str(project)))["link.py"].linkname == "manage.py"


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside"])
def test_a_link_that_leads_out_is_refused(project, target):
    (project / "evil").symlink_to(target)
    with pytest.raises(SourceError) as caught:
        pack(str(project))
    assert caught.value.message == (
        f"Failed to pack the source {project}: the link evil leads out of it, to {target}. Replace it by a copy or remove it."
    )


def test_a_link_to_a_folder_outside_is_refused(project, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (project / "linked").symlink_to(outside)
    with pytest.raises(SourceError, match="the link linked leads out of it"):
        pack(str(project))


def test_a_name_with_a_newline_is_refused(project):
    (project / "new\nline").write_text("")
    with pytest.raises(SourceError, match="holds a control character"):
        pack(str(project))


def test_too_many_files_are_refused_with_the_place_where_it_was_noticed(project, monkeypatch):
    monkeypatch.setattr(_source, "MAX_FILES", 2)
    with pytest.raises(
        SourceError,
        match=r"holds more than 2 files .* List what does not belong in the image in \.dockerignore\.",
    ):
        pack(str(project))


def test_a_single_huge_file_is_refused_before_it_is_read(project, monkeypatch):
    monkeypatch.setattr(_source, "MAX_BYTES", 100)
    with (project / "dump.sql").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(SourceError, match=r"dump\.sql alone has more than"):
        pack(str(project))


def test_a_missing_folder_is_refused():
    with pytest.raises(SourceError) as caught:
        pack("/nonexistent")
    assert caught.value.message == (
        "Failed to pack the source /nonexistent: it is not a folder. Set source_dir to the Django project's folder."
    )


def test_a_dockerignore_that_is_not_utf8_is_refused(project):
    (project / ".dockerignore").write_bytes(b"\xff\xfe")
    with pytest.raises(SourceError, match=r"\.dockerignore is not UTF-8"):
        pack(str(project))


def test_what_is_left_out_for_its_name_or_content_is_told(project):
    files = {
        "keys/public.pem": "",
        ".ssh/known_hosts": "",
        "project-123.json": '{"type": "service_account"}',
        "listed.key": "",
        "shop/__pycache__/a.pyc": "",
        ".dockerignore": "listed.key\n",
    }
    for name, text in files.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text, "utf-8")
    archive = pack(str(project))
    assert {"keys/public.pem", ".ssh", "project-123.json"} <= set(archive.withheld)
    assert not {"listed.key", "shop/__pycache__", "shop/__pycache__/a.pyc"} & set(archive.withheld)
    assert not set(archive.withheld) & set(archive.files)


def test_scripts_that_linux_does_not_run_are_told(project):
    for name, text in (
        ("start.sh", b"#!/bin/sh\r\necho\r\n"),
        ("manage.py", b"#!/usr/bin/env python\r\n"),
        ("run.sh", b"#!/bin/sh\necho\r\n"),
        ("notes.txt", b"no script\r\n"),
    ):
        (project / name).write_bytes(text)
    archive = pack(str(project), {"Dockerfile": "FROM python\r\n"})
    assert archive.windows_scripts == ("manage.py", "start.sh")
    assert names_in(archive)["start.sh"].size == 17
