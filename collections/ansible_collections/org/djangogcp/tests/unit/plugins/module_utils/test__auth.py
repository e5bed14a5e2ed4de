# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import stat
import time

import google.auth.exceptions
import pytest
from ansible_collections.org.djangogcp.plugins.module_utils import _auth
from ansible_collections.org.djangogcp.plugins.module_utils import _rules as rules
from ansible_collections.org.djangogcp.plugins.module_utils._auth import (
    AuthOptions,
    Token,
    TokenSource,
    _impersonated,
)
from ansible_collections.org.djangogcp.plugins.module_utils._errors import AuthError
from google.auth.credentials import AnonymousCredentials


@pytest.fixture
def made(monkeypatch):
    """Counts the tokens that are made, instead of asking Google for them."""
    tokens = []

    def make(options, session):
        tokens.append(Token(f"token-{len(tokens) + 1}", expiry=time.time() + 3600))
        return tokens[-1]

    monkeypatch.setattr(_auth, "_new_token", make)
    return tokens


@pytest.fixture
def cache(tmp_path):
    return str(tmp_path)


def test_one_token_serves_the_tasks_of_a_run(made, cache):
    first = TokenSource(AuthOptions(), None, cache).token()
    second = TokenSource(AuthOptions(), None, cache).token()
    assert first.value == second.value == "token-1"
    assert len(made) == 1


def test_the_cache_is_for_its_owner_alone(made, cache):
    TokenSource(AuthOptions(), None, cache).token()
    (name,) = os.listdir(cache)
    assert stat.S_IMODE(os.stat(os.path.join(cache, name)).st_mode) == 0o600
    assert "token" not in name


def test_another_identity_has_another_token(made, cache, tmp_path, monkeypatch):
    TokenSource(AuthOptions(), None, cache).token()
    TokenSource(AuthOptions(impersonate_service_account="a@b"), None, cache).token()
    credentials = tmp_path / "adc.json"
    credentials.write_text("{}")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(credentials))
    TokenSource(AuthOptions(), None, cache).token()
    credentials.write_text('{"another": "key"}')
    TokenSource(AuthOptions(), None, cache).token()
    assert len(made) == 4


@pytest.mark.parametrize("name", ["GOOGLE_CLOUD_QUOTA_PROJECT", "GCE_METADATA_IP", "AWS_ACCESS_KEY_ID"])
def test_another_environment_has_another_token(made, cache, monkeypatch, name):
    for value in ("one", "two", "one"):
        monkeypatch.setenv(name, value)
        TokenSource(AuthOptions(), None, cache).token()
    assert len(made) == 2


def test_a_rejected_token_is_not_given_again_even_from_the_cache(made, cache):
    source = TokenSource(AuthOptions(), None, cache)
    rejected = source.token()
    assert source.token(rejected=rejected).value == "token-2"
    assert TokenSource(AuthOptions(), None, cache).token().value == "token-2"


def test_a_token_in_its_last_minutes_is_not_used(made, cache):
    TokenSource(AuthOptions(), None, cache).token()
    (name,) = os.listdir(cache)
    path = os.path.join(cache, name)
    with open(path, "w") as file:
        json.dump({"value": "old", "expiry": time.time() + 60, "quota_project": ""}, file)
    assert TokenSource(AuthOptions(), None, cache).token().value == "token-2"


def test_tokens_that_have_ended_are_removed(made, cache):
    old = os.path.join(cache, "old.json")
    with open(old, "w") as file:
        file.write("{}")
    os.utime(old, (time.time() - 3700, time.time() - 3700))
    TokenSource(AuthOptions(), None, cache).token()
    assert len(os.listdir(cache)) == 1
    assert not os.path.exists(old)


def test_a_broken_cache_costs_a_token_and_not_the_task(made, cache):
    TokenSource(AuthOptions(), None, cache).token()
    (name,) = os.listdir(cache)
    with open(os.path.join(cache, name), "w") as file:
        file.write("{")
    assert TokenSource(AuthOptions(), None, cache).token().value == "token-2"


def test_a_given_token_is_used_as_it_is_and_never_kept(cache):
    options = AuthOptions(auth_kind="accesstoken", access_token="given")
    assert TokenSource(options, None, cache).token().value == "given"
    assert os.listdir(cache) == []


@pytest.mark.parametrize("mode", [0o755, 0o770])
def test_a_directory_that_others_can_enter_is_not_used(monkeypatch, tmp_path, mode):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "djangogcp").mkdir()
    (tmp_path / "djangogcp").chmod(mode)
    assert _auth.default_cache_dir() is None


def test_a_link_is_not_used_as_a_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "djangogcp").symlink_to(tmp_path / "elsewhere")
    assert _auth.default_cache_dir() is None


def test_a_directory_is_made_for_its_owner_alone(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(_auth.tempfile, "gettempdir", lambda: str(tmp_path))
    path = _auth.default_cache_dir()
    assert path == str(tmp_path / f"djangogcp-{os.getuid()}")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            AuthOptions(auth_kind="accesstoken"),
            "auth_kind is accesstoken but access_token is empty. Set access_token or GCP_ACCESS_TOKEN.",
        ),
        (
            AuthOptions(auth_kind="serviceaccount"),
            "auth_kind is serviceaccount but neither service_account_file nor service_account_contents is set. Set one of them.",
        ),
    ],
)
def test_missing_credentials_say_which_option_is_missing(options, message):
    with pytest.raises(AuthError) as caught:
        TokenSource(options, None, None).token()
    assert caught.value.message == message


def test_no_default_credentials_say_how_to_get_them(monkeypatch):
    def none_found(scopes):
        raise google.auth.exceptions.DefaultCredentialsError("none found.")

    monkeypatch.setattr("google.auth.default", none_found)
    with pytest.raises(AuthError) as caught:
        TokenSource(AuthOptions(), None, None).token()
    assert caught.value.message == (
        "Failed to find credentials for Google Cloud: none found. Run 'gcloud auth application-default login', or set "
        "GOOGLE_APPLICATION_CREDENTIALS to a credentials file, or set auth_kind to another source."
    )


def test_empty_options_are_the_same_as_none():
    params = {
        "auth_kind": "serviceaccount",
        "service_account_file": "",
        "service_account_contents": "",
        "scopes": [],
    }
    assert AuthOptions.from_params(params) == AuthOptions(auth_kind="serviceaccount")


def test_of_several_accounts_the_last_one_acts():
    given = AuthOptions(impersonate_service_account="a@p.iam.gserviceaccount.com,b@p.iam.gserviceaccount.com")
    acting = _impersonated(AnonymousCredentials(), given)
    assert acting.service_account_email == "b@p.iam.gserviceaccount.com"
    assert acting._delegates == ["projects/-/serviceAccounts/a@p.iam.gserviceaccount.com"]


@pytest.mark.parametrize(
    ("value", "right"),
    [
        ("a@p.iam.gserviceaccount.com", True),
        ("a@p.iam.gserviceaccount.com,b@p.iam.gserviceaccount.com", True),
        ("a@p.iam.gserviceaccount.com,", False),
        ("a@p.iam.gserviceaccount.com, b@p.iam.gserviceaccount.com", False),
        ("someone@example.com", False),
        (["a@p.iam.gserviceaccount.com"], False),
    ],
)
def test_accounts_are_told_from_what_is_none(value, right):
    assert rules.SERVICE_ACCOUNTS.test(value) is right


@pytest.mark.parametrize(
    ("member", "right"),
    [
        ("serviceAccount:my-project.svc.id.goog[default/web]", True),
        ("serviceAccount:example.com:my-project.svc.id.goog[default/web]", True),
        ("serviceAccount:my-project.svc.id.goog", False),
        ("user:my-project.svc.id.goog[default/web]", False),
        ("serviceAccount:web@my-project.iam.gserviceaccount.com", True),
        ("web@my-project.iam.gserviceaccount.com", False),
    ],
)
def test_members_are_told_from_what_is_none(member, right):
    assert rules.MEMBER.test(member) is right
