# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""Asks pages of a site as a visitor does: without credentials, or with an identity token of one whom the site knows,
and with the proxy and the certificates of the environment.

Whatever a page or the network does is an answer with a problem and no exception. Of a page that is an error, which every visitor sees, a problem
shows the first words, and of no other page anything.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import itertools
import json
import ssl
import threading
import time
import types
import typing as t
import urllib.parse

from ansible_collections.org.djangogcp.plugins.module_utils import _pages
from ansible_collections.org.djangogcp.plugins.module_utils._client import adapter_to, new_session
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Deadline, delays
from ansible_collections.org.djangogcp.plugins.module_utils._rules import one_line, shown

# A module that is run without requests says so before it comes here.
with contextlib.suppress(ImportError):
    import requests
    import requests.utils
    import urllib3.exceptions

# For a page with all redirects that lead to it.
_PAGE_SECONDS = 60.0
_MOST_REDIRECTS = 10
_REFUSED = (401, 403)
# Of the style sheets that a page links, so many are asked for.
_MOST_STYLE_SHEETS = 10
# Where a bucket's objects are for browsers.
_BUCKETS = ("https", "storage.googleapis.com")
# So much of a body is read.
_MOST_BYTES = 2**20


class Check(t.NamedTuple):
    """What a page must do.

    Attributes:
        path: where it is on the site, with a query if any.
        follow_redirects: whether redirects are followed, also to other hosts; otherwise one is the answer.
        contains: what the body must have in its first MiB, "" for anything.
        any_answer: whether any answer will do that is no failure of the server (500 and above) and no refusal of the host's name (400), instead
            of 200 alone. Redirects are followed within the site only.
        style_sheets: whether those that the page links, and the site or a bucket serves, have to be there.
        sends_form: whether the form on the page that Django protects has to take what it sends itself.
    """

    path: str
    follow_redirects: bool = False
    contains: str = ""
    any_answer: bool = False
    style_sheets: bool = False
    sends_form: bool = False


class Way(t.NamedTuple):
    """How the site itself is asked, and no other host.

    Attributes:
        token: an identity token that Cloud Run is shown; "" for a visitor whom nobody knows.
        headers: what each request carries beside that.
        connect_to: the IP address that the site's host is taken to have, "" for what its name resolves to.
    """

    token: str = ""
    headers: t.Mapping[str, str] = types.MappingProxyType({})
    connect_to: str = ""

    def session(self, site: str) -> requests.Session:
        """A new session for a site."""
        session = new_session()
        if self.connect_to:
            host = urllib.parse.urlsplit(site).hostname or ""
            adapter = adapter_to(self.connect_to, host)
            for scheme in ("http", "https"):
                session.mount(f"{scheme}://{host}/", adapter)
        return session


# As every other host is asked.
_PLAIN = Way()


class Answer(t.NamedTuple):
    """What a page did.

    Attributes:
        path: the path that was asked for.
        status: the HTTP status, 0 without a whole answer.
        seconds: how long the answer took.
        url: where it came from, which redirects may have changed.
        problem: a verb phrase about what is not as it must be, "" when all is.
        in_a_loop: whether it redirects to the very https address that was asked.
        moved_to: the address with the same path at another host that it redirects to, "" if to none.
        fault: what of the page has the problem, if it is not the page itself: ``style sheet`` or ``form``, which it refuses.
    """

    path: str
    status: int
    seconds: float
    url: str
    problem: str
    in_a_loop: bool = False
    moved_to: str = ""
    fault: str = ""


class _Page(t.NamedTuple):
    status: int
    url: str
    # Where it redirects to, "" if nowhere.
    target: str
    body: bytes
    # The encoding that its headers tell, "" if none.
    encoding: str
    moved_to: str = ""
    is_html: bool = False
    # Whether it sent a cookie that a browser would not send back to it.
    lost_cookies: bool = False

    @property
    def html(self) -> _pages.Html:
        """What it holds."""
        # Headers often tell no encoding, or a wrong one; what is read of it is in ASCII nearly always.
        return _pages.read(self.body.decode("utf-8", "replace"), self.url)

    @property
    def in_a_loop(self) -> bool:
        """Whether it redirects to its own https address."""
        return self.target == self.url and self.url.startswith("https:")


class _Seen(t.NamedTuple):
    """A page, and what is not as it must be of it and of what belongs to it, "" when all is."""

    page: _Page
    problem: str
    fault: str = ""


class _ElsewhereError(Exception):
    """What a page redirects to at another host has no answer, for the reason that is the cause."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


def ask_until_it_passes(
    site: str, check: Check, deadline: Deadline, way: Way = _PLAIN, granted: Deadline | None = None
) -> Answer:
    """Ask for a page again and again, at least once, up to two seconds apart.

    Args:
        site: the address of the site, without a slash at its end.
        check: what the page must do.
        deadline: nothing is asked beyond it.
        way: how the site is asked.
        granted: until then a refusal (401, 403) may only mean that a right is not in force yet; `deadline` by default.

    Raises:
        DjangoGcpError: the CA certificates cannot be read.
    """
    for delay in delays(first=0.2, factor=1.6, longest=2):
        answer = ask(site, check, way=way)
        until = granted if granted is not None and answer.status in _REFUSED else deadline
        if not answer.problem or not until.sleep(delay):
            return answer
    raise AssertionError("delays() never ends")


def ask(site: str, check: Check, limit: float = _PAGE_SECONDS, way: Way = _PLAIN) -> Answer:
    """Ask for a page once.

    Args:
        site: the address of the site, without a slash at its end.
        check: what the page must do.
        limit: after so many seconds the answer is not waited for any more.
        way: how the site is asked.

    Raises:
        DjangoGcpError: the CA certificates cannot be read.
    """
    began = time.monotonic()
    asked = f"{site}{check.path}"
    future: concurrent.futures.Future[_Seen] = concurrent.futures.Future()
    # A timeout of requests is for the next bytes and not for the whole answer, and there is none for a name that is looked up.
    # So a thread asks, which nothing waits for when its time is over.
    threading.Thread(target=_settle, args=(future, asked, check, limit, way), daemon=True).start()
    in_a_loop, moved_to, fault = False, "", ""
    try:
        page, problem, fault = future.result(timeout=limit)
        status, url = page.status, page.url
        in_a_loop, moved_to = page.in_a_loop, page.moved_to
    except _ElsewhereError as error:
        status, url, moved_to = 0, error.url, error.url
        cause = _cause(t.cast("Exception", error.__cause__), limit)
        problem = f"redirects to {_without_query(url)}, which could not be read ({cause})"
    # Of requests, of the network, of addresses, and what requests lets through of urllib3.
    except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
        status, url, problem = 0, asked, f"could not be read ({_cause(error, limit)})"
    seconds = round(time.monotonic() - began, 3)
    return Answer(check.path, status, seconds, url, problem, in_a_loop, moved_to, fault)


def rights_refused(placeholder: str, token: str = "") -> list[str]:
    """What a placeholder tells of the rights of its account that have not taken effect; nothing when it does not answer so.

    Args:
        placeholder: the address of the service that it serves for, without a slash at its end.
        token: an identity token that Cloud Run is shown; "" for a visitor whom nobody knows.
    """
    way = Way(token)
    try:
        with way.session(placeholder) as session:
            page = _page(session, f"{placeholder}/-/rights", Check("/-/rights"), _PAGE_SECONDS, way)
        answer = json.loads(page.body) if page.status == 503 else {}
        refused = answer["refused"] if isinstance(answer, dict) else []
    except (OSError, ValueError, KeyError, urllib3.exceptions.HTTPError):
        return []
    return [str(name) for name in refused] if isinstance(refused, list) else []


def _settle(
    future: concurrent.futures.Future[_Seen], url: str, check: Check, timeout: float, way: Way
) -> None:
    try:
        # A new session each time: no cookie and no broken connection is left of the last time.
        with way.session(url) as session:
            page = _page(session, url, check, timeout, way)
            future.set_result(_look_closer(session, page, check, timeout, way, url))
    except Exception as error:  # it is raised where the result is asked for
        future.set_exception(error)


def _look_closer(
    session: requests.Session, page: _Page, check: Check, timeout: float, way: Way, asked: str
) -> _Seen:
    """What is wrong with a page, or else with what belongs to it."""
    problem = _problem(page, check, asked)
    if problem or not page.is_html or _origin(page.url) != _origin(asked):
        return _Seen(page, problem)
    html = page.html
    own = _origin(page.url)
    styles = [url for url in html.style_sheets if check.style_sheets and _origin(url) in (own, _BUCKETS)]
    for url in styles[:_MOST_STYLE_SHEETS]:
        if problem := _style_problem(session, url, timeout, way if _origin(url) == own else _PLAIN):
            return _Seen(page, f"links the style sheet {_without_query(url)}, which {problem}", "style sheet")
    # A browser that sends no cookie back at this address is refused for that; at the site's own domain it may well be let in.
    if not check.sends_form or html.form is None or page.lost_cookies:
        return _Seen(page, "")
    status = _send(session, html.form, page.url, timeout, way)
    if status == 403:
        return _Seen(page, f"refuses (403) the form that it has at {_without_query(page.url)}", "form")
    if status == 400 or status >= 500:
        return _Seen(
            page, f"answers {status} to the form that it has at {_without_query(page.url)}, sent empty"
        )
    return _Seen(page, "")


def _style_problem(session: requests.Session, url: str, timeout: float, way: Way) -> str:
    """A verb phrase about why a style sheet has no effect, "" when it has."""
    try:
        page = _page(session, url, Check(url, follow_redirects=True), timeout, way)
    except _ElsewhereError as error:
        return f"redirects to {_without_query(error.url)}, which could not be read"
    except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
        return f"could not be read ({_cause(error, timeout)})"
    if page.status != 200:
        return f"answered {page.status}"
    # Django forbids browsers to guess (SECURE_CONTENT_TYPE_NOSNIFF): they take no page for a style sheet.
    return "is a page of HTML" if page.is_html else ""


def _send(session: requests.Session, form: _pages.Form, page: str, timeout: float, way: Way) -> int:
    """The status with which a form is answered that is sent as it is, as a browser does: nobody is logged in, and nothing is tried."""
    if _origin(form.url) != _origin(page):
        return 0
    headers = {"Origin": "{}://{}".format(*_origin(page)), "Referer": page}
    with contextlib.closing(
        _response(session, "POST", form.url, timeout, way, data=form.fields, headers=headers)
    ) as response:
        return response.status_code


def _page(session: requests.Session, url: str, check: Check, timeout: float, way: Way) -> _Page:
    known_to, moved_to, lost_cookies = _origin(url), "", False
    for redirects in itertools.count():
        shown_way = way if _origin(url) == known_to else _PLAIN
        try:
            response = _response(session, "GET", url, timeout, shown_way)
        except (OSError, urllib3.exceptions.HTTPError) as error:
            if moved_to == url and not isinstance(error, ValueError):
                raise _ElsewhereError(url) from error
            raise
        with contextlib.closing(response):
            # The base class's method reads the header only.
            location = session.get_redirect_target(response)
            target = urllib.parse.urljoin(url, location) if location else ""
            moved_to = moved_to or (target if _is_moved(url, target) else "")
            session.cookies.update(response.cookies)
            lost_cookies = lost_cookies or ("Set-Cookie" in response.headers and not response.cookies)
            stays = not check.any_answer or _origin(target) == known_to
            if not (target and check.follow_redirects and stays and redirects < _MOST_REDIRECTS):
                return _Page(
                    response.status_code,
                    url,
                    target,
                    _start(response),
                    response.encoding or "",
                    moved_to,
                    "html" in response.headers.get("Content-Type", ""),
                    lost_cookies,
                )
        url = target
    raise AssertionError("count() never ends")


def _origin(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc


def _is_moved(url: str, target: str) -> bool:
    """Whether an address is another host's with the same path, as settings that redirect every request make it."""
    here, there = urllib.parse.urlsplit(url), urllib.parse.urlsplit(target)
    return bool(there.netloc) and there.netloc != here.netloc and there[2:4] == here[2:4]


def _response(
    session: requests.Session, method: str, url: str, timeout: float, way: Way, **more: t.Any
) -> requests.Response:
    """The answer up to its headers. Session.request() would read the whole body of a redirect, whatever its size."""
    request = session.prepare_request(requests.Request(method, url, auth=_nobody, **more))
    request.headers.update(way.headers)
    if way.token:
        # Leaves Authorization to the site itself.
        # Source: https://cloud.google.com/run/docs/authenticating/service-to-service
        request.headers["X-Serverless-Authorization"] = f"Bearer {way.token}"
    proxies = requests.utils.get_environ_proxies(url)
    # Its own adapter is a host's on any port, and of no host whose name only begins like its.
    parts = urllib.parse.urlsplit(url)
    return session.get_adapter(f"{parts.scheme}://{parts.hostname}/").send(
        request, stream=True, timeout=timeout, proxies=proxies
    )


def _nobody(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """An `auth` of requests that adds nothing; without any, requests takes a password from ~/.netrc or the address."""
    return request


def _start(response: requests.Response) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(2**16):
        body += chunk
        if len(body) >= _MOST_BYTES:
            break
    return bytes(body[:_MOST_BYTES])


def _problem(page: _Page, check: Check, asked: str) -> str:
    if page.target and check.follow_redirects and _origin(page.target) == _origin(asked):
        return f"redirects more than {_MOST_REDIRECTS} times, at last to {_without_query(page.target)}"
    if check.any_answer:
        passes, expected = page.status < 500 and page.status != 400, "less than 500, and not 400"
    else:
        passes, expected = page.status == 200, "200"
    if not passes:
        where = f" at {_without_query(page.url)}" if page.url != asked else ""
        to = f" to {_without_query(page.target)}" if page.target else ""
        words = page.html.words if page.is_html and page.status >= 400 else ""
        said = f": {shown(words)}" if words else ""
        return f"answered {page.status}{to}{where} (expected {expected}){said}"
    if not _contains(page, check.contains):
        return f"answered without {shown(check.contains)} in it"
    return ""


def _contains(page: _Page, text: str) -> bool:
    # Headers often tell no encoding, or a wrong one.
    for encoding in ("utf-8", page.encoding or "utf-8"):
        with contextlib.suppress(
            LookupError, ValueError
        ):  # an encoding that does not exist, or is none of strings
            if text in page.body.decode(encoding, "replace"):
                return True
    return False


def _without_query(url: str) -> str:
    """An address as a message may show it: a query can hold a token."""
    return one_line(url.partition("?")[0].partition("#")[0])


def _cause(error: Exception, limit: float) -> str:
    """Why there is no whole answer, in few words of ours or of the operating system: an exception may quote the answer."""
    layers = _layers(error)
    if isinstance(error, ValueError):
        return "its address, or one that it redirects to, is not valid"
    if any(isinstance(one, TimeoutError) for one in layers):
        return f"no answer within {limit:.0f} seconds"
    for one in layers:
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"TLS: {one.verify_message}"
        if isinstance(one, ssl.SSLError):
            return f"TLS: {one.reason or 'it failed'}"
        if isinstance(one, OSError) and one.strerror:
            return one.strerror
        if str(one).startswith("Tunnel connection failed"):
            return f"the proxy refused: {one_line(str(one))}"
    if any(isinstance(one, ConnectionError | http.client.IncompleteRead) for one in layers):
        return "the connection broke before the end of the answer"
    return "what came is no valid answer"


def _layers(error: BaseException) -> list[BaseException]:
    """An exception and those that it wraps, in each of the ways in which urllib3 does it, the outermost first."""
    layers: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if one not in layers:
            layers.append(one)
            inner = (one.__cause__, one.__context__, *one.args)
            waiting += [each for each in inner if isinstance(each, BaseException)]
    return layers
