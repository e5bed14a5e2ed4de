# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Access tokens: where the credentials come from, and how the tasks of one run share one token.

google-auth is imported only when a token has to be made: its import costs more than the rest of a module that
changes nothing. Credentials are refreshed here and never handed to a session, which also keeps google-auth from
looking up the account's allowedLocations beside every request.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import importlib
import json
import os
import stat
import sys
import tempfile
import threading
import time
import typing as t

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.org.djangogcp.plugins.module_utils._errors import AuthError
from ansible_collections.org.djangogcp.plugins.module_utils._target import innermost, lost_way

if t.TYPE_CHECKING:
    import requests

# A token is not used in its last minutes: a request that waits for a slow answer must not outlive it.
_MARGIN_SECONDS = 300
# No access token lives longer unless an organization allows it; then it is only removed early.
_LIFE_SECONDS = 3600
# What may select other credentials, another identity or another quota project without an option of the task being different.
# Source: google.auth.environment_vars.
_ENVIRONMENT = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CLOUD_QUOTA_PROJECT",
    "CLOUDSDK_CONFIG",
    "GCE_METADATA_HOST",
    "GCE_METADATA_ROOT",
    "GCE_METADATA_IP",
    # Workload identity federation with AWS.
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "HOME",
)

_HOW_TO_GET_CREDENTIALS = (
    "Run 'gcloud auth application-default login', or set GOOGLE_APPLICATION_CREDENTIALS to a credentials file, "
    "or set auth_kind to another source."
)


@dataclasses.dataclass(frozen=True)
class Token:
    """An access token.

    Attributes:
        value: the bearer token.
        expiry: when it ends, in seconds since the epoch; None when unknown.
        quota_project: the project that requests are counted against, "" for the called one. User credentials need it.
    """

    value: str
    expiry: float | None = None
    quota_project: str = ""

    @property
    def is_fresh(self) -> bool:
        """Whether the token may be used for a request that starts now."""
        return self.expiry is None or self.expiry - _MARGIN_SECONDS > time.time()


@dataclasses.dataclass(frozen=True)
class AuthOptions:
    """The authentication options of a module; see the documentation fragment _auth."""

    auth_kind: str = "application"
    service_account_file: str | None = None
    service_account_contents: str | None = None
    service_account_email: str | None = None
    access_token: str | None = None
    impersonate_service_account: str | None = None
    scopes: tuple[str, ...] = ("https://www.googleapis.com/auth/cloud-platform",)

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> AuthOptions:
        """Pick the options out of a module's parameters. An empty text is the same as none."""
        values = {field.name: params.get(field.name) or None for field in dataclasses.fields(cls)}
        contents = values["service_account_contents"]
        if isinstance(contents, dict):
            values["service_account_contents"] = json.dumps(contents)
        scopes = values.pop("scopes")
        kind = values.pop("auth_kind")
        return cls(auth_kind=kind or cls.auth_kind, scopes=tuple(scopes or cls.scopes), **values)


class TokenSource:
    """Gives one access token to all requests of a task, from the cache of the run when it is there.

    Args:
        options: where the credentials come from.
        session: what google-auth asks for a token with; the task's own, so that proxy and CA settings are the same.
        cache_dir: where tokens are kept; None for nowhere.

    Raises:
        AuthError: from `token`, when there are no credentials or Google refuses them.
    """

    def __init__(self, options: AuthOptions, session: requests.Session, cache_dir: str | None) -> None:
        self._options = options
        self._session = session
        #: Stands for the options, and for what of the environment selects an identity.
        self.identity = _identity(options)
        self._cache = _cache_file(options, cache_dir, self.identity)
        self._lock = threading.Lock()
        self._token: Token | None = None

    def token(self, *, rejected: Token | None = None) -> Token:
        """The token to send. With `rejected`, one that is not that token, which a server has answered 401 to."""
        with self._lock:
            if self._usable(self._token, rejected):
                return t.cast(Token, self._token)
            cached = _read_cache(self._cache)
            if self._usable(cached, rejected):
                self._token = t.cast(Token, cached)
                return self._token
            self._token = _new_token(self._options, self._session)
            _write_cache(self._cache, self._token)
            return self._token

    @staticmethod
    def _usable(token: Token | None, rejected: Token | None) -> bool:
        return token is not None and token.is_fresh and (rejected is None or token.value != rejected.value)


def default_cache_dir() -> str | None:
    """The directory that this user's tokens are kept in, made when missing; None where no safe one can be had.

    It lies in XDG_RUNTIME_DIR (memory of the login session) or else the directory for temporary files. In both it must be
    a directory, not a link, that belongs to this user and that nobody else can enter: another user may have made it first.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    path = (
        os.path.join(base, "djangogcp")
        if base
        else os.path.join(tempfile.gettempdir(), f"djangogcp-{os.getuid()}")
    )
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
        status = os.lstat(path)
    except OSError:
        return None
    private = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o077
    return path if private else None


def _cache_file(options: AuthOptions, cache_dir: str | None, identity: str) -> str | None:
    if cache_dir is None or options.auth_kind == "accesstoken":
        return None
    return os.path.join(cache_dir, f"{identity}.json")


def _identity(options: AuthOptions) -> str:
    # The content and not only the path of a credentials file: a new key or a new rehearsal has another identity.
    parts: list[str] = [repr(options), *(os.environ.get(name, "") for name in _ENVIRONMENT)]
    for path in (
        options.service_account_file,
        os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"),
        _gcloud_adc_path(),
    ):
        parts.append(_digest_of_file(path))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _gcloud_adc_path() -> str:
    config = os.environ.get("CLOUDSDK_CONFIG") or os.path.join(os.path.expanduser("~"), ".config", "gcloud")
    return os.path.join(config, "application_default_credentials.json")


def _digest_of_file(path: str | None) -> str:
    if not path:
        return ""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""


def cached_token(cache_dir: str, identity: str) -> Token | None:
    """The token of a run with that identity (`TokenSource.identity`), without asking anybody for another; None if there is none any more."""
    found = _read_cache(os.path.join(cache_dir, f"{identity}.json"))
    return found if found is not None and found.is_fresh else None


def _read_cache(path: str | None) -> Token | None:
    if path is None:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            return Token(**json.load(file))
    except (OSError, ValueError, TypeError):
        return None


def _write_cache(path: str | None, token: Token) -> None:
    # A token whose end is unknown cannot be kept; and a cache that cannot be written costs one request, not the task.
    if path is None or token.expiry is None:
        return
    with contextlib.suppress(OSError):
        _remove_old(os.path.dirname(path))
        descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path))  # mode 0600
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(dataclasses.asdict(token), file)
        os.replace(temporary, path)


def _remove_old(directory: str) -> None:
    """Remove the tokens that have ended: those of other identities would stay for ever."""
    for entry in os.scandir(directory):
        with contextlib.suppress(FileNotFoundError):
            if entry.stat().st_mtime < time.time() - _LIFE_SECONDS:
                os.unlink(entry.path)


def missing_libraries() -> str:
    """What a person installs, all of it at once."""
    names = {"requests": "requests", "google-auth": "google.auth"}
    missing = [name for name, package in names.items() if not _can_be_imported(package)]
    words = "it" if len(missing) == 1 else "them"
    return f"{missing_required_lib(' and '.join(missing))} Install {words}: {sys.executable} -m pip install {' '.join(missing)}"


def _can_be_imported(package: str) -> bool:
    try:
        importlib.import_module(package)
    except ImportError:
        return False
    return True


def _new_token(options: AuthOptions, session: requests.Session) -> Token:
    if options.auth_kind == "accesstoken" and not options.access_token:
        raise AuthError(
            "auth_kind is accesstoken but access_token is empty. Set access_token or GCP_ACCESS_TOKEN."
        )
    if options.auth_kind == "accesstoken" and not options.impersonate_service_account:
        return Token(t.cast(str, options.access_token))
    # These imports are late on purpose; see the docstring of this file.
    try:
        import google.auth.exceptions
        import google.auth.transport.requests
    except ImportError as error:
        raise AuthError(missing_libraries()) from error

    try:
        credentials = _credentials(options)
        if options.impersonate_service_account:
            credentials = _impersonated(credentials, options)
        credentials.refresh(google.auth.transport.requests.Request(session))
    except google.auth.exceptions.DefaultCredentialsError as error:
        raise AuthError(
            f"Failed to find credentials for Google Cloud: {_sentence(error)} {_HOW_TO_GET_CREDENTIALS}"
        ) from error
    except (google.auth.exceptions.GoogleAuthError, OSError, ValueError, KeyError) as error:
        if why := lost_way(error, "https://oauth2.googleapis.com"):
            raise AuthError(f"Failed to get an access token: {why}") from error
        raise AuthError(_refusal(options, error)) from error
    expiry = credentials.expiry
    return Token(
        value=credentials.token,
        # google-auth keeps naive UTC times.
        expiry=None if expiry is None else expiry.replace(tzinfo=datetime.UTC).timestamp(),
        quota_project=getattr(credentials, "quota_project_id", None) or "",
    )


def _credentials(options: AuthOptions) -> t.Any:
    scopes = list(options.scopes)
    if options.auth_kind == "serviceaccount":
        from google.oauth2 import service_account

        if options.service_account_contents:
            info = json.loads(options.service_account_contents)
            return service_account.Credentials.from_service_account_info(info, scopes=scopes)
        if options.service_account_file:
            return service_account.Credentials.from_service_account_file(
                options.service_account_file, scopes=scopes
            )
        raise AuthError(
            "auth_kind is serviceaccount but neither service_account_file nor service_account_contents is set. Set one of them."
        )
    if options.auth_kind == "machineaccount":
        from google.auth import compute_engine

        return compute_engine.Credentials(options.service_account_email or "default", scopes=scopes)
    if options.auth_kind == "accesstoken":
        from google.oauth2 import credentials

        return credentials.Credentials(options.access_token)
    import google.auth

    return google.auth.default(scopes=scopes)[0]


def _impersonated(source: t.Any, options: AuthOptions) -> t.Any:
    from google.auth import impersonated_credentials

    *delegates, target = t.cast(str, options.impersonate_service_account).split(",")
    return impersonated_credentials.Credentials(
        source_credentials=source,
        target_principal=target,
        # iamcredentials:v1, generateAccessToken: "delegates[]" have this format.
        delegates=[f"projects/-/serviceAccounts/{one}" for one in delegates],
        target_scopes=list(options.scopes),
    )


def _refusal(options: AuthOptions, error: Exception) -> str:
    identity = f"auth_kind {options.auth_kind}"
    if options.impersonate_service_account:
        return (
            f"Failed to get an access token for {options.impersonate_service_account} ({identity}): {_sentence(error)} "
            "The credentials need roles/iam.serviceAccountTokenCreator on that service account."
        )
    return f"Failed to get an access token ({identity}): {_sentence(error)} {_HOW_TO_GET_CREDENTIALS}"


def _sentence(error: Exception) -> str:
    return f"{innermost(error).rstrip('. ')}."
