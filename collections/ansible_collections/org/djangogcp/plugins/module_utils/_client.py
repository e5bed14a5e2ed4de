# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""The one HTTP client: a keep-alive session, a token, retries of what is safe to repeat, and typed errors."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import functools
import http.client
import os
import ssl
import typing as t
import urllib.parse
import urllib.request

from ansible_collections.org.djangogcp.plugins.module_utils import _progress
from ansible_collections.org.djangogcp.plugins.module_utils._ahead import Ahead
from ansible_collections.org.djangogcp.plugins.module_utils._auth import Token, TokenSource
from ansible_collections.org.djangogcp.plugins.module_utils._errors import (
    ApiError,
    ConnectionLostError,
    DjangoGcpError,
    api_error,
)
from ansible_collections.org.djangogcp.plugins.module_utils._granted import Granted
from ansible_collections.org.djangogcp.plugins.module_utils._retry import (
    RETRYABLE_STATUSES,
    Clock,
    Deadline,
    delays,
    http_date,
    retry_after,
)
from ansible_collections.org.djangogcp.plugins.module_utils._target import SERVER, innermost, lost_way

try:
    import requests
    import requests.adapters
    import requests.utils
    import urllib3
    import urllib3.connection
except ImportError:  # run_module tells it with Ansible's own words
    HAS_REQUESTS = False
else:
    HAS_REQUESTS = True

Json = dict[str, t.Any]

# How many requests of one task are in flight at most, and how many connections are kept.
PARALLEL_REQUESTS = 8
USER_AGENT = "org.djangogcp (ansible)"

_CONNECT_TIMEOUT_SECONDS = 10.0
# Above the 60 s that Google's front ends give a call, so that their answer is what is reported.
READ_TIMEOUT_SECONDS = 75
# For one call with all its repetitions.
_CALL_TIMEOUT_SECONDS = 180.0
# The same where a quota of requests is used up: it is there again each minute, and many sites may wait for it.
_QUOTA_TIMEOUT_SECONDS = 600.0
_SERVICE_USAGE = "serviceusage.googleapis.com"
_READING_METHODS = frozenset({"GET", "HEAD"})
_SAFE_METHODS = frozenset({"GET", "HEAD", "PUT", "PATCH", "DELETE"})


@dataclasses.dataclass(frozen=True)
class Call:
    """What a request is for: the words and the permission of its error.

    Attributes:
        doing: a verb phrase, for instance "create secret polls-secret-key".
        permission: the permission that Google documents for the method, "" when unknown.
    """

    doing: str
    permission: str = ""


class Client:
    """Calls Google's REST APIs. Safe to use from several threads.

    Args:
        tokens: what authenticates the requests.
        session: the requests session; proxies and CA bundles come from the environment as requests reads it.
        clock: where the time comes from.
        read_timeout: how long one request may be silent, in seconds (option ``request_timeout``).
        ahead: where answers are that were read ahead; none by default.
        absent_when_disabled: take what an API that is not enabled would hold for absent. For check mode on a project whose
            APIs the same run would enable first.
        granted: where it is noted what was granted; nowhere by default.
        told: where it is noted what was told; nowhere by default.

    Every method raises `ApiError` for an error status, `ConnectionLostError` when it is unknown whether a request that is
    not safe to repeat was carried out, and `DjangoGcpError` when the server cannot be reached.
    """

    def __init__(
        self,
        tokens: TokenSource,
        session: requests.Session,
        clock: Clock | None = None,
        *,
        read_timeout: float = READ_TIMEOUT_SECONDS,
        ahead: Ahead | None = None,
        absent_when_disabled: bool = False,
        granted: Granted | None = None,
        told: _progress.Told | None = None,
    ) -> None:
        self._tokens = tokens
        #: Who asks (`TokenSource.identity`).
        self.identity = tokens.identity
        self._session = session
        self.clock = clock or Clock()
        self._read_timeout = read_timeout
        self._ahead = ahead or Ahead(None, "")
        self._absent_when_disabled = absent_when_disabled
        self._told = told or _progress.Told()
        #: Whether it was an emulator that answered last.
        self.is_emulator = False
        #: When the last answer was given, by the server's clock, in seconds since the epoch; None where it did not say so.
        self.server_time: float | None = None
        #: What was granted so short ago that it may not have taken effect.
        self.granted = granted or Granted(None)

    def get(
        self, url: str, call: Call, *, params: t.Mapping[str, t.Any] | None = None, ahead: bool = False
    ) -> Json:
        """GET a resource. With `ahead`, an answer that was read ahead will do."""
        return self.request("GET", url, call, params=params, ahead=ahead)

    def find(
        self, url: str, call: Call, *, params: t.Mapping[str, t.Any] | None = None, ahead: bool = False
    ) -> Json | None:
        """GET a resource that may be absent: None for 404. A 403 is an error, never "absent". With `ahead`, an answer that
        was read ahead will do.
        """
        known = self._ahead.find("GET", url, params or {}) if ahead else []
        if known:
            return known[0]
        found = self._found(url, call, params)
        if ahead:
            self._ahead.keep("GET", url, params or {}, found)
        return found

    def _found(self, url: str, call: Call, params: t.Mapping[str, t.Any] | None) -> Json | None:
        try:
            response = self._send("GET", url, call, params, None, True, allowed=404)
        except ApiError as error:
            if self._absent_when_disabled and error.is_disabled:
                return None
            raise
        return None if response.status_code == 404 else _content(response, call)

    def list(
        self,
        url: str,
        call: Call,
        *,
        items: str,
        params: t.Mapping[str, t.Any] | None = None,
        ahead: bool = False,
    ) -> t.Iterator[Json]:
        """GET all pages of a collection.

        Args:
            items: the key of the list in a page, for instance "secrets".
            ahead: whether pages that were read ahead will do.
        """
        token = ""
        while True:
            asked = {**(params or {}), **({"pageToken": token} if token else {})}
            page = self.get(url, call, params=asked, ahead=ahead)
            yield from page.get(items) or []
            token = page.get("nextPageToken") or ""
            if not token:
                return

    def request(
        self,
        method: str,
        url: str,
        call: Call,
        *,
        params: t.Mapping[str, t.Any] | None = None,
        body: t.Mapping[str, t.Any] | None = None,
        repeatable: bool | None = None,
        ahead: bool = False,
    ) -> Json:
        """Send a request with a JSON body and return the JSON answer ({} for an empty one).

        Args:
            method: the HTTP method.
            url: the whole address.
            call: the words for errors.
            params: the query; None values are left out.
            body: the body, never shown anywhere.
            repeatable: whether repeating it does no harm; by default all methods but POST. Say True for a POST that only
                reads, and for a create under a name of our own choosing when its 409 is read again.
            ahead: whether it only reads, so that an answer that was read ahead will do.
        """
        known = self._ahead.find(method, url, params or {}) if ahead else []
        if known and known[0] is not None:
            return known[0]
        safe = method in _SAFE_METHODS if repeatable is None else repeatable
        with (
            self._changing(url) if method not in _READING_METHODS and not ahead else contextlib.nullcontext()
        ):
            answer = _content(self._send(method, url, call, params, body, safe), call)
        if ahead:
            self._ahead.keep(method, url, params or {}, answer)
        return answer

    def upload(
        self, url: str, call: Call, *, params: t.Mapping[str, t.Any], data: t.BinaryIO, content_type: str
    ) -> Json:
        """POST the bytes of a file and return the JSON answer. Repeated from the file's beginning when that is safe,
        which it is when `params` hold a precondition such as ifGenerationMatch.
        """
        headers = {"Content-Type": content_type}
        safe = "ifGenerationMatch" in params
        with self._changing(url):
            return _content(self._send("POST", url, call, params, None, safe, data, headers), call)

    def forget_old_answers(self) -> None:
        """Remove what was read ahead too long ago, also by other runs."""
        self._ahead.forget_old()

    @contextlib.contextmanager
    def _changing(self, url: str) -> t.Iterator[None]:
        """What was read ahead is old from now on, and so is what another task reads ahead meanwhile."""
        self._ahead.forget(url)
        try:
            yield
        finally:
            self._ahead.forget(url)

    def _send(
        self,
        method: str,
        url: str,
        call: Call,
        params: t.Mapping[str, t.Any] | None,
        body: t.Mapping[str, t.Any] | None,
        safe: bool,
        data: t.BinaryIO | None = None,
        headers: t.Mapping[str, str] | None = None,
        *,
        allowed: int | None = None,
    ) -> requests.Response:
        deadline = Deadline(_CALL_TIMEOUT_SECONDS, self.clock)
        quota = Deadline(_QUOTA_TIMEOUT_SECONDS, self.clock)
        query = {key: value for key, value in (params or {}).items() if value is not None}
        rejected: Token | None = None
        for delay in delays(first=0.5, factor=2, longest=16):
            token = self._tokens.token(rejected=rejected)
            if data is not None:
                data.seek(0)
            try:
                response = self._session.request(
                    method,
                    url,
                    params=query,
                    json=body,
                    data=data,
                    headers=headers,
                    auth=functools.partial(authorize, token),
                    timeout=(_CONNECT_TIMEOUT_SECONDS, self._read_timeout),
                    allow_redirects=False,
                )
            except requests.exceptions.RequestException as error:
                if not (safe or _never_sent(error)):
                    raise ConnectionLostError(
                        f"Failed to {call.doing}: the connection to {_host(url)} broke before its answer came "
                        f"({innermost(error)})."
                    ) from error
                if not _may_recover(error, url) or not deadline.sleep(delay):
                    raise _unreachable(error, url, call) from error
                continue
            self.is_emulator = response.headers.get("Server") == SERVER
            self.server_time = http_date(response.headers.get("Date"))
            status = response.status_code
            if status == 401 and rejected is None:
                rejected = token
                continue
            if status < 300 or status == allowed:
                return response
            refusal = api_error(
                doing=call.doing,
                status=status,
                reason_phrase=response.reason or "",
                text=response.text,
                permission=call.permission,
            )
            asked = max(retry_after(response.headers.get("Retry-After")) or 0, refusal.retry_delay)
            if refusal.is_rate_limited:
                self._tell_of_quota(url, refusal)
                # What was waited for a quota says nothing of other faults.
                wait, deadline = quota, Deadline(_CALL_TIMEOUT_SECONDS, self.clock)
            else:
                wait = deadline
            again = refusal.is_rate_limited or (safe and status in RETRYABLE_STATUSES)
            if again and asked <= wait.remaining and wait.sleep(max(delay, asked)):
                continue
            if not safe and status in RETRYABLE_STATUSES:
                raise ConnectionLostError(
                    f"Failed to {call.doing}: {_host(url)} answered HTTP {status} ({refusal.explanation.rstrip('.')})."
                )
            if not (refusal.is_crowded or self._is_just_enabled(refusal)) or not deadline.sleep(delay):
                raise refusal
        raise AssertionError("delays() never ends")

    def _tell_of_quota(self, url: str, refusal: ApiError) -> None:
        """Tell once for each API, in all tasks of a run, that a quota of its requests is waited for."""
        host = _host(url)
        if self._told.is_first(f"quota-{host}"):
            minutes = f"up to {_progress.elapsed(_QUOTA_TIMEOUT_SECONDS)}"
            _progress.tell(f"Wait for the quota of {host} ({minutes}): {refusal.explanation.rstrip('.')}")

    def _is_just_enabled(self, error: ApiError) -> bool:
        """Whether an API is refused as disabled only because enabling it has not reached all of Google Cloud yet.

        Source: error of a disabled API, ErrorInfo with reason SERVICE_DISABLED and metadata service and consumer
        (https://cloud.google.com/apis/design/errors), and serviceusage v1 services.get.

        Who reads ahead does not ask: that would be once for each resource, and the task that needs the answer does.
        """
        if self._ahead.fills:
            return False
        service, consumer = error.metadata.get("service"), error.metadata.get("consumer")
        if error.reason != "SERVICE_DISABLED" or not service or not consumer or service == _SERVICE_USAGE:
            return False
        url = f"https://{_SERVICE_USAGE}/v1/{consumer}/services/{service}"
        try:
            found = self.find(url, Call(f"see whether {service} is enabled", "serviceusage.services.get"))
        except DjangoGcpError:
            return False
        return (found or {}).get("state") == "ENABLED"


def new_session() -> requests.Session:
    """A session with so many connections to each host at most; more requests wait for one of them, not for a new one."""
    session = requests.Session()
    session.headers["User-Agent"] = USER_AGENT
    session.mount("https://", _adapter_class()(pool_maxsize=PARALLEL_REQUESTS, pool_block=True))
    return session


Connection = t.TypeVar("Connection", bound=http.client.HTTPConnection)


def connection_through(
    kind: t.Callable[..., Connection], host: str, port: int, **options: t.Any
) -> Connection:
    """A connection of a kind to a host, not open yet, through the proxy that the environment names for it.

    For what is no request: what it is wanted for is up to who opens it.
    """
    proxy = None if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get("https")
    if not proxy:
        return kind(host, port, **options)
    found = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    through = kind(found.hostname or "", found.port or 80, **options)
    user = f"{urllib.parse.unquote(found.username or '')}:{urllib.parse.unquote(found.password or '')}"
    known = (
        {"Proxy-Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"} if found.username else {}
    )
    through.set_tunnel(host, port, known)
    return through


def tls_context() -> ssl.SSLContext:
    """What every connection verifies Google's certificates with: the CA bundle that requests would take.

    Raises:
        DjangoGcpError: the bundle cannot be read.
    """
    bundle = (
        os.environ.get("REQUESTS_CA_BUNDLE")
        or os.environ.get("CURL_CA_BUNDLE")
        or requests.utils.DEFAULT_CA_BUNDLE_PATH
    )
    # A relative path is another file in another working directory.
    return _tls_context(os.path.abspath(bundle))


@functools.cache
def _tls_context(bundle: str) -> ssl.SSLContext:
    """Made once: requests has the bundle read anew for each connection, which costs more than all else in a request."""
    try:
        if os.path.isdir(bundle):
            return ssl.create_default_context(capath=bundle)
        return ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise DjangoGcpError(
            f"Cannot read the CA certificates in {bundle} ({error}). "
            "Check the variables REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE."
        ) from error


@functools.cache
def _adapter_class() -> type[requests.adapters.HTTPAdapter]:
    """The class of the adapter; in a function, because requests may be missing when this file is imported."""

    class Adapter(requests.adapters.HTTPAdapter):
        """Gives all connections, direct and through a proxy, the one TLS context."""

        def init_poolmanager(self, *args: t.Any, **options: t.Any) -> None:
            super().init_poolmanager(*args, ssl_context=tls_context(), **options)

        def proxy_manager_for(self, proxy: str, **options: t.Any) -> t.Any:
            return super().proxy_manager_for(proxy, ssl_context=tls_context(), **options)

        def send(self, *args: t.Any, **options: t.Any) -> requests.Response:
            return super().send(*args, **{**options, "verify": True})

        def cert_verify(self, conn: t.Any, url: str, verify: t.Any, cert: t.Any) -> None:
            """Nothing to set: the context verifies."""

    return Adapter


def adapter_to(address: str, host: str) -> requests.adapters.HTTPAdapter:
    """An adapter for the requests to one host, which connects to an IP address in place of what its name resolves to.

    Nothing else of a request is another: the header Host and TLS have the host's name. A proxy is asked for a tunnel to the address, also for http, where
    it would go by the name otherwise.
    """

    def kind(pool: t.Any, connection: t.Any, **options: t.Any) -> t.Any:
        """A pool that keeps no connection: one that is closed forgets its tunnel, and would not ask for it again."""
        through = functools.partial(connection_through, connection, **options)
        members = {
            "ConnectionCls": staticmethod(through),
            "_put_conn": lambda _pool, used: used and used.close(),
        }
        return type(pool.__name__, (pool,), members)

    secure = kind(urllib3.HTTPSConnectionPool, urllib3.connection.HTTPSConnection, server_hostname=host)
    plain = kind(urllib3.HTTPConnectionPool, urllib3.connection.HTTPConnection)

    class Adapter(_adapter_class()):  # type: ignore[misc]
        """Has connections of its own kinds, and asks for the address."""

        def init_poolmanager(self, *args: t.Any, **options: t.Any) -> None:
            super().init_poolmanager(*args, **options)
            self.poolmanager.pool_classes_by_scheme = {"http": plain, "https": secure}

        def send(self, request: requests.PreparedRequest, **options: t.Any) -> t.Any:
            there = request.copy()
            parts = urllib.parse.urlsplit(str(request.url))
            there.headers["Host"] = parts.netloc.rpartition("@")[2]
            place = f"[{address}]" if ":" in address else address
            place += f":{parts.port}" if parts.port else ""
            there.url = parts._replace(netloc=place).geturl()
            return super().send(there, **{**options, "proxies": {}})

    return t.cast("requests.adapters.HTTPAdapter", Adapter())


def authorize(token: Token, request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Authenticate a request. As an `auth` of requests, because a plain header loses against ~/.netrc."""
    request.headers["Authorization"] = f"Bearer {token.value}"
    if token.quota_project:
        request.headers["x-goog-user-project"] = token.quota_project
    return request


def _content(response: requests.Response, call: Call) -> Json:
    if response.status_code == 204 or not response.content:
        return {}
    try:
        content = response.json()
    except ValueError as error:
        raise DjangoGcpError(
            f"Failed to {call.doing}: {_host(response.url)} answered something that is not JSON. "
            "Check that HTTPS_PROXY leads to a proxy that leaves answers as they are."
        ) from error
    return content if isinstance(content, dict) else {"items": content}


# What the innermost error says when there was no connection yet. ProxyError and SSLError alone do not tell: urllib3 raises them
# also for a connection through a proxy, or in TLS, that breaks after the request was sent.
_NO_CONNECTION = (
    "NewConnectionError",
    "NameResolutionError",
    "Tunnel connection failed",
    "certificate verify failed",
)


def _never_sent(error: requests.exceptions.RequestException) -> bool:
    """Whether a request failed before any of it was sent: no connection, so nothing was done."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return True
    text = repr(error)
    return any(sign in text for sign in _NO_CONNECTION)


def _unreachable(error: requests.exceptions.RequestException, url: str, call: Call) -> DjangoGcpError:
    why = lost_way(error, url) or (
        f"cannot reach {_host(url)} ({innermost(error)}). "
        "Check the network, HTTPS_PROXY and the CA variables (REQUESTS_CA_BUNDLE)."
    )
    return DjangoGcpError(f"Failed to {call.doing}: {why}")


def _may_recover(error: requests.exceptions.RequestException, url: str) -> bool:
    """Whether trying again can help; a certificate or an address that is wrong stays wrong, and a rehearsal that is stopped stays stopped."""
    if lost_way(error, url):
        return False
    # A connection that broke in TLS is told from a certificate or a protocol that does not fit by its end.
    if isinstance(error, requests.exceptions.SSLError):
        return "EOF occurred" in repr(error)
    return isinstance(
        error,
        (
            requests.exceptions.ConnectionError,
            requests.exceptions.Timeout,
            requests.exceptions.ChunkedEncodingError,
        ),
    )


def _host(url: str) -> str:
    return url.split("/")[2]
