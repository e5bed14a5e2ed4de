# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a project is uploaded, and what stays where it is."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
from pathlib import Path

import pathspec
import pytest
import yaml
from ansible_collections.org.djangogcp.plugins.module_utils import _sensitive, _source
from ansible_collections.org.djangogcp.plugins.module_utils._source import pack
from ansible_collections.org.djangogcp.plugins.modules import cloudbuild_build

PROJECTS = yaml.safe_load((Path(__file__).parent / "public_projects.yml").read_text("utf-8"))
# Made here, so that nothing in this file looks like a key.
BODY = "\n".join(["MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7" + "A" * 12] * 4)


def pem(kind, body=BODY):
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n"


SERVICE_ACCOUNT = json.dumps({"type": "service_account", "private_key": pem("PRIVATE KEY")})


@pytest.fixture
def project(tmp_path):
    (tmp_path / "manage.py").write_text("# manage\n")
    return tmp_path


def write(project, files):
    for name, content in files.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


@pytest.mark.parametrize("name", PROJECTS)
def test_public_projects_are_uploaded_whole_but_for_secrets_and_data(tmp_path, name):
    found = PROJECTS[name]
    kept, withheld = found["kept"], found.get("withheld", [])
    write(tmp_path, dict.fromkeys(kept + withheld, "x = 1\n"))
    archive = pack(str(tmp_path))
    assert sorted(archive.files) == sorted(kept)
    told = tuple(archive.withheld)
    assert [one for one in withheld if not one.startswith(told)] == []


def test_twenty_projects_are_looked_at():
    assert len(PROJECTS) >= 20


@pytest.mark.parametrize(
    "name",
    [
        ".git-credentials", ".htpasswd", ".vault_pass", ".vault_pass.txt", ".bash_history", ".psql_history", "terraform.tfstate",
        "terraform.tfstate.backup", "prod.tfvars", "kubeconfig", ".kube/config", "shop/local_settings.py", "prod.env", "db.sqlite", "mykey.ppk", "keystore.p8",
        "key.PEM", "GCP-CREDENTIALS.JSON", ".ENV", "Server.Key", ".docker/config.json", "monday.dump", "monday.sql.gz", "ID_RSA",
    ],
)  # fmt: skip
def test_secrets_are_known_by_their_names_in_any_letter_case(project, name):
    write(project, {name: "hunter2"})
    archive = pack(str(project))
    assert archive.files == ("manage.py",)
    assert any(name.startswith(one) for one in archive.withheld)


@pytest.mark.parametrize(
    "kind",
    [
        "PRIVATE KEY",
        "RSA PRIVATE KEY",
        "EC PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "PGP PRIVATE KEY BLOCK",
    ],
)
@pytest.mark.parametrize("name", ["key.txt", "notes", "docs/howto.md", "config.yml"])
def test_a_private_key_is_found_in_any_file(project, kind, name):
    write(project, {name: f"some text\n{pem(kind)}"})
    archive = pack(str(project))
    assert archive.files == ("manage.py",)
    assert archive.withheld == (name,)


@pytest.mark.parametrize(
    "content",
    [
        SERVICE_ACCOUNT,
        '{"type": "authorized_user", "refresh_token": "1//x"}',
        '{"installed": {"client_id": "x", "client_secret": "y"}}',
        'key: "' + pem("PRIVATE KEY").replace("\n", "\\n") + '"',
        pem("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n" + BODY),
        pem("PRIVATE KEY").replace("\n", "\r\n"),
        "PuTTY-User-Key-File-3: ssh-ed25519\n",
        "--\n-- PostgreSQL database dump\n--\n\nCOPY public.auth_user (id) FROM stdin;\n1\n",
        "-- MySQL dump 10.13\n\nINSERT INTO `auth_user` VALUES (1);\n",
        b"PGDMP\x01\x0e",
    ],
)
def test_credentials_and_dumps_are_found_whatever_their_names_are(project, content):
    write(project, {"key.txt": content})
    archive = pack(str(project))
    assert (archive.files, archive.withheld) == (("manage.py",), ("key.txt",))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ca.pem", pem("CERTIFICATE")),
        ("jwt.key", pem("PUBLIC KEY")),
        ("check.py", "if text.startswith('-----BEGIN PRIVATE KEY-----'):\n    raise ValueError\n"),
        (
            "howto.md",
            "A key begins with -----BEGIN PRIVATE KEY----- and ends with -----END PRIVATE KEY-----.\n",
        ),
        ("identity.json", '{"type": "external_account", "audience": "x"}'),
        ("fixtures/users.json", '[{"type": "service_account"}]'),
        ("schema.sql", "--\n-- PostgreSQL database dump\n--\nCREATE TABLE a (b int);\n"),
        ("seed.sql", "INSERT INTO country VALUES ('de');\n"),
        ("words.db", "no database of SQLite"),
        (".npmrc", "engine-strict=true\n//registry.example.com/:_authToken=${NPM_TOKEN}\n"),
        ("Env.py", "DEBUG = False\n"),
        ("venv.md", "how to make one\n"),
    ],
)
def test_what_only_looks_like_a_secret_is_uploaded(project, name, content):
    write(project, {name: content})
    archive = pack(str(project))
    assert (name in archive.files, archive.withheld, archive.exposed) == (True, (), ())


def test_what_is_called_like_a_key_and_is_uploaded_is_told(project):
    write(
        project, {"keys/public.pem": pem("PUBLIC KEY"), "ours.key": pem("PUBLIC KEY"), ".gitignore": "ours.*"}
    )
    assert pack(str(project)).public_keys == ("keys/public.pem",)


def test_a_certificate_with_its_key_is_none(project):
    write(project, {"both.pem": pem("CERTIFICATE") + pem("PRIVATE KEY")})
    assert pack(str(project)).withheld == ("both.pem",)


def test_a_module_with_a_key_is_uploaded_and_told(project):
    write(project, {"shop/settings.py": f'KEY = """{pem("PRIVATE KEY")}"""\n'})
    archive = pack(str(project))
    assert archive.files == ("manage.py", "shop/settings.py")
    assert (archive.withheld, archive.exposed) == ((), ("shop/settings.py",))


@pytest.mark.parametrize("before", [0, 5, 100, 1023])
def test_a_key_is_found_where_two_reads_meet(before):
    text = b"\n" * (_sensitive._CHUNK - before) + pem("PRIVATE KEY").encode()
    assert _sensitive.is_sensitive("large.txt", io.BytesIO(text))


def test_what_is_found_is_never_told(project):
    write(project, {"key.txt": SERVICE_ACCOUNT, "shop/settings.py": pem("PRIVATE KEY")})
    archive = pack(str(project))
    assert BODY[:20] not in repr((archive.withheld, archive.exposed, archive.unversioned))
    assert b"service_account" not in gzip.decompress(archive.content)


def test_a_database_of_sqlite_is_one_by_its_content_where_its_name_says_little(project):
    sqlite3.connect(project / "data.db").execute("CREATE TABLE a (b)").connection.close()
    assert pack(str(project)).withheld == ("data.db",)


@pytest.mark.parametrize("name", ["env", "venv2", "tools/python"])
def test_a_virtual_environment_is_known_whatever_its_name_is(project, name):
    write(
        project, {f"{name}/pyvenv.cfg": "home = /usr/bin\n", f"{name}/lib/site.py": "", "shop/env/dev.py": ""}
    )
    archive = pack(str(project))
    assert archive.files == ("manage.py", "shop/env/dev.py")
    assert archive.withheld == ()


@pytest.mark.parametrize("folder", ["media", "Media", "backend/media", "shop/media"])
def test_uploads_stay_where_they_are(project, folder):
    write(project, {"backend/manage.py": "", "shop/__init__.py": "", f"{folder}/2026/passport.jpg": "x"})
    archive = pack(str(project))
    assert archive.withheld == (folder,)
    assert archive.files == ("backend/manage.py", "manage.py", "shop/__init__.py")


@pytest.mark.parametrize(
    "name",
    [
        "media/models.py",
        "media/css/site.css",
        "static/media/logo.png",
        "frontend/src/media/logo.png",
        "shop/fixtures/media/a.jpg",
    ],
)
def test_a_folder_of_that_name_that_somebody_wrote_is_uploaded(project, name):
    write(project, {name: ""})
    assert name in pack(str(project)).files


# ------------------------------------------------------------------ .gitignore

IGNORED = (
    "*.log\n/dist\nbuild/\n!keep.log\nshop/*.tmp\n# a comment\n**/cache\ndoc/**/draft\n[Tt]mp\nenv/\n\\!odd\n"
)
NAMES = [
    "a.log", "keep.log", "shop/b.log", "dist/app.js", "shop/dist/app.js", "build/x", "shop/build/x", "shop/c.tmp", "shop/d/c.tmp", "c.tmp",
    "shop/cache/1", "doc/draft", "doc/a/b/draft", "draft", "Tmp/x", "shop/tmp", "README", "env/a", "docker/env", "shop/env/a", "!odd",
]  # fmt: skip


def test_gitignore_is_honoured_as_git_does_where_there_is_no_other(project):
    write(project, {**dict.fromkeys(NAMES, ""), ".gitignore": IGNORED})
    git = pathspec.GitIgnoreSpec.from_lines(IGNORED.splitlines())
    expected = {name for name in [*NAMES, "manage.py", ".gitignore"] if not git.match_file(name)}
    assert set(pack(str(project)).files) == expected


def test_what_only_gitignore_keeps_out_is_told(project):
    write(
        project,
        {
            ".gitignore": "staticfiles/\n*.mo\n.env\n__pycache__\n",
            "staticfiles/a.css": "",
            "locale/de.mo": "",
            ".env": "",
            "__pycache__/a": "",
        },
    )
    archive = pack(str(project))
    assert archive.unversioned == ("locale/de.mo", "staticfiles")
    assert archive.withheld == ()


@pytest.mark.parametrize("other", [".dockerignore", ".gcloudignore"])
def test_gitignore_says_nothing_where_there_is_another(project, other):
    write(project, {".gitignore": "*.mo\n", "locale/de.mo": "", other: ""})
    archive = pack(str(project))
    assert "locale/de.mo" in archive.files
    assert archive.unversioned == ()


# ------------------------------------------------------------------ the one list


def test_the_documentation_lists_every_name():
    notes = "\n".join(yaml.safe_load(cloudbuild_build.DOCUMENTATION)["notes"])
    named = [*_source.LEFTOVERS, *_source.SECRETS, *_source.TEMPLATES]
    assert [one for one in named if f"C({one.removeprefix('**/')})" not in notes] == []
    assert [one for one in (*_source._ENVIRONMENTS, *_source._CODE) if f"C({one})" not in notes] == []
