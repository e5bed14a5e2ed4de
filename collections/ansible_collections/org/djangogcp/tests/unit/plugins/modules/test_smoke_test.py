# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import datetime
import gzip
import http.server
import json
import socket
import ssl
import struct
import threading
import time
import types

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils import _visitor
from ansible_collections.org.djangogcp.plugins.module_utils._errors import DjangoGcpError
from ansible_collections.org.djangogcp.plugins.module_utils._granted import Change
from ansible_collections.org.djangogcp.plugins.module_utils._module import Task
from ansible_collections.org.djangogcp.plugins.module_utils._retry import Clock
from ansible_collections.org.djangogcp.plugins.module_utils._visitor import Check, ask
from ansible_collections.org.djangogcp.plugins.modules import smoke_test
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOG = "Check what the site logged; if it only needs longer, raise wait_timeout."
NETWORK = "Check the network, HTTPS_PROXY and the CA variables (REQUESTS_CA_BUNDLE)."
NOBODY = {
    **dict.fromkeys(("service_account", "audience", "placeholder_url", "connect_to")),
    "grant_timeout": 0,
    "headers": {},
}
# What a page holds and no message may show.
PRIVATE = "private-words-of-the-page"
RESET = struct.pack("ii", 1, 0)


class Site:
    """A site on this machine: pages by path, each with its answers in turn, the last of which stays."""

    def __init__(self, url):
        self.url = url
        self.asked = []
        self.headers = []
        self.sent = []
        self.pages = {}

    def page(self, path, *answers):
        """An answer is a status, a body and headers; the last two may be left out."""
        self.pages[path] = [(*one, *("", {})[len(one) - 1 :]) for one in answers]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def site():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            found.sent.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.do_GET()

        def do_GET(self):
            found.asked.append(self.path)
            found.headers.append(dict(self.headers))
            answers = found.pages[self.path]
            status, body, headers = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            # Who has read enough closes the connection.
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body if isinstance(body, bytes) else body.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Site(f"http://127.0.0.1:{server.server_port}")
    found.server = server
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def peer():
    """Starts a server that answers a connection with those bytes, and returns its host and port."""
    with contextlib.ExitStack() as stack:

        def start(data, after=lambda connection: None, on_request=lambda request: None):
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def serve():
                with contextlib.suppress(OSError):
                    while True:
                        connection = listener.accept()[0]
                        with connection:
                            on_request(connection.recv(65536))
                            connection.sendall(data)
                            after(connection)

            threading.Thread(target=serve, daemon=True).start()
            return "{}:{}".format(*listener.getsockname())

        yield start


def check(path, **options):
    names = ("follow_redirects", "any_answer", "style_sheets", "sends_form")
    return {"path": path, "contains": None, **dict.fromkeys(names, False), **options}


def try_out(site_url, *checks, clock=None, wait_timeout=0, client=None, **options):
    client = client or types.SimpleNamespace(clock=clock or Clock())
    asked = {"url": site_url, "checks": list(checks), "wait_timeout": wait_timeout, **NOBODY, **options}
    return smoke_test.work(Task(asked, client))


def message(site_url, *checks, **options):
    with pytest.raises(DjangoGcpError) as raised:
        try_out(site_url, *checks, **options)
    assert PRIVATE not in raised.value.message
    return raised.value.message.replace(site_url, "SITE")


def test_pages_that_answer_pass(site):
    site.page("/healthz/", (200, "ok"))
    site.page("/?again", (200,))
    result = try_out(f"{site.url}/", check("/healthz/"), check("/?again"))
    assert not result["changed"]
    assert [(one["path"], one["status"], one["url"]) for one in result["checks"]] == [
        ("/healthz/", 200, f"{site.url}/healthz/"),
        ("/?again", 200, f"{site.url}/?again"),
    ]
    assert all(0 < one["seconds"] < 10 for one in result["checks"])


def test_nothing_to_ask_passes(site):
    assert try_out(site.url)["checks"] == []


def test_pages_are_asked_at_the_same_time(site):
    site.page("/", (200,))
    together = threading.Barrier(3, timeout=10)
    site.asked = type("Asked", (list,), {"append": lambda self, path: together.wait()})()
    assert len(try_out(site.url, check("/"), check("/"), check("/"))["checks"]) == 3


def test_a_page_is_asked_until_it_passes(site, fake_clock):
    site.page("/", (503,), (404,), (200, "not yet"), (200, "ready"))
    try_out(site.url, check("/", contains="ready"), clock=fake_clock.clock, wait_timeout=30)
    assert site.asked == ["/"] * 4
    assert all(0.1 <= seconds <= 2 for seconds in fake_clock.slept)


def test_a_page_is_not_asked_for_longer_than_it_may_take(site, fake_clock):
    site.page("/", (500, PRIVATE))
    text = message(site.url, check("/"), clock=fake_clock.clock, wait_timeout=30)
    assert text == f"Failed to try SITE out: / answered 500 (expected 200). {LOG}"
    assert 29.9 < sum(fake_clock.slept) <= 30.1
    assert len(fake_clock.slept) < 40


def test_each_page_that_fails_is_told(site):
    site.page("/healthz/", (500, PRIVATE))
    site.page("/good/", (200, PRIVATE))
    site.page("/admin/", (200, f"<html>{PRIVATE}</html>"))
    text = message(
        site.url, check("/healthz/"), check("/good/"), check("/admin/", contains="csrfmiddlewaretoken")
    )
    assert text == (
        "Failed to try SITE out: /healthz/ answered 500 (expected 200); "
        f"/admin/ answered without 'csrfmiddlewaretoken' in it. {LOG}"
    )


def test_a_redirect_is_a_failure_that_tells_where_to(site):
    site.page("/", (301, PRIVATE, {"Location": "/login/?token=secret#secret"}))
    assert message(site.url, check("/")) == (
        f"Failed to try SITE out: / answered 301 to SITE/login/ (expected 200). {LOG}"
    )


def test_what_all_pages_answered_is_told_of_a_failure_too(site):
    site.page("/good/", (200,))
    site.page("/bad/", (500, PRIVATE))
    with pytest.raises(DjangoGcpError) as raised:
        try_out(site.url, check("/good/"), check("/bad/"))
    answered = [(one["path"], one["status"], one["problem"]) for one in raised.value.as_fail_json()["checks"]]
    assert answered == [("/good/", 200, ""), ("/bad/", 500, "answered 500 (expected 200)")]


LOOP = (
    "A page that redirects to its own https address takes every request for http: Google's front end ends HTTPS. Where"
    ' SECURE_SSL_REDIRECT is on, set SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") in the settings.'
)


@pytest.mark.parametrize(
    ("status", "passes"), [(200, True), (302, True), (404, True), (400, False), (500, False)]
)
def test_a_page_of_which_nothing_is_known_must_not_fail(monkeypatch, status, passes):
    page = _visitor._Page(status, "https://polls.run.app/", "", b"", "")
    monkeypatch.setattr(_visitor, "_page", lambda *arguments: page)
    answer = _visitor.ask("https://polls.run.app", _visitor.Check("/", any_answer=True))
    assert (answer.problem == "") is passes
    assert passes or answer.problem == f"answered {status} (expected less than 500, and not 400)"


@pytest.mark.parametrize(
    ("follow_redirects", "problem"),
    [
        (True, "redirects more than 10 times, at last to SITE/admin/"),
        (False, "answered 301 to SITE/admin/ (expected 200)"),
    ],
)
def test_a_page_that_redirects_to_itself_names_the_settings(monkeypatch, follow_redirects, problem):
    url = "https://polls.run.app/admin/"
    page = _visitor._Page(301, url, url, b"", "")
    monkeypatch.setattr(_visitor, "_page", lambda *_: page)
    text = message("https://polls.run.app", check("/admin/", follow_redirects=follow_redirects))
    assert text == f"Failed to try SITE out: /admin/ {problem}. {LOOP}"


@pytest.mark.parametrize("follow_redirects", [True, False])
def test_a_page_that_redirects_to_its_path_at_another_host_names_the_settings(site, follow_redirects):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        there = f"http://127.0.0.1:{listener.getsockname()[1]}/admin/"
    site.page("/admin/?next=x", (301, "", {"Location": f"{there}?next=x"}))
    text = message(site.url, check("/admin/?next=x", follow_redirects=follow_redirects))
    problem = (
        f"redirects to {there}, which could not be read (Connection refused)"
        if follow_redirects
        else f"answered 301 to {there} (expected 200)"
    )
    assert text.startswith(
        f"Failed to try SITE out: /admin/?next=x {problem}. A page that redirects to its own path at another host "
    )
    assert "PREPEND_WWW, of SECURE_SSL_HOST, or of a middleware" in text
    assert text.endswith('set SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") in the settings.')


def test_a_page_that_redirects_elsewhere_names_no_settings(monkeypatch):
    page = _visitor._Page(301, "https://polls.run.app/admin/", "https://polls.run.app/login/", b"", "")
    monkeypatch.setattr(_visitor, "_page", lambda *_: page)
    assert message("https://polls.run.app", check("/admin/")).endswith(LOG)


def test_redirects_are_followed_with_their_cookies_and_forgotten(site):
    site.page(
        "/admin/",
        (302, "x" * 2**21, {"Location": "login/?next=/admin/", "Set-Cookie": "seen=1"}),
        (302, "", {"Location": "login/?next=/admin/"}),
    )
    site.page("/admin/login/?next=/admin/", (500,), (200, "csrfmiddlewaretoken"))
    asked = check("/admin/", follow_redirects=True, contains="csrfmiddlewaretoken")
    result = try_out(site.url, asked, wait_timeout=10)
    assert result["checks"][0]["url"] == f"{site.url}/admin/login/?next=/admin/"
    assert [headers.get("Cookie") for headers in site.headers] == [None, "seen=1", None, None]


def test_a_failure_behind_redirects_tells_where(site):
    site.page("/", (302, "", {"Location": "/login/?token=secret"}))
    site.page("/login/?token=secret", (404, PRIVATE))
    assert message(site.url, check("/", follow_redirects=True)) == (
        f"Failed to try SITE out: / answered 404 at SITE/login/ (expected 200). {LOG}"
    )


def test_another_host_is_followed_only_when_asked(site, peer):
    other = peer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    site.page("/", (302, "", {"Location": f"http://{other}/there"}))
    assert f"answered 302 to http://{other}/there (expected 200)" in message(site.url, check("/"))
    assert try_out(site.url, check("/", follow_redirects=True))["checks"][0]["url"] == f"http://{other}/there"


@pytest.mark.parametrize(
    "location", ["http://[secret/", "http://a..b/", "http://x:99999/", "file:///etc/passwd", "\xff\xfe"]
)
def test_a_redirect_that_leads_nowhere_ends(site, location):
    site.page("/", (302, PRIVATE, {"Location": location}))
    assert message(site.url, check("/", follow_redirects=True)) == (
        "Failed to try SITE out: / could not be read (its address, or one that it redirects to, is not valid). "
        f"{NETWORK}"
    )


def test_a_loop_of_redirects_ends(site):
    site.page("/", (302, PRIVATE, {"Location": "/again?token=secret"}))
    site.page("/again?token=secret", (302, PRIVATE, {"Location": "/"}))
    assert message(site.url, check("/", follow_redirects=True)) == (
        f"Failed to try SITE out: / redirects more than 10 times, at last to SITE/again. {LOG}"
    )
    assert len(site.asked) == 11


def test_no_credentials_are_sent(site, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    site.page("/", (302, "", {"Location": "/there"}))
    site.page("/there", (200,))
    try_out(site.url.replace("http://", "http://somebody:secret@"), check("/", follow_redirects=True))
    assert len(site.headers) == 2
    assert not any("Authorization" in headers for headers in site.headers)


ACCOUNT = "polls-web@my-project.iam.gserviceaccount.com"
GENERATE = f"https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/{ACCOUNT}:generateIdToken"
KNOWN = {"service_account": ACCOUNT, "audience": "https://polls.run.app"}


def test_a_site_is_asked_in_the_name_of_a_service_account_and_no_other_host_is(
    site, peer, client, google, refuse, fake_clock
):
    granted_late = refuse(403, "PERMISSION_DENIED", "Permission 'iam.serviceAccounts.getOpenIdToken' denied")
    google.answer("POST", GENERATE, granted_late, {"token": "its-token"})
    seen = []
    other = peer(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        on_request=lambda request: seen.append(request.lower()),
    )
    site.page("/", (302, "", {"Location": "/there"}))
    site.page("/there", (302, "", {"Location": f"http://{other}/"}))
    try_out(site.url, check("/", follow_redirects=True), client=client, wait_timeout=30, **KNOWN)
    assert google.bodies("POST")[-1] == {"audience": "https://polls.run.app", "includeEmail": True}
    assert [headers["X-Serverless-Authorization"] for headers in site.headers] == ["Bearer its-token"] * 2
    assert len(seen) == 1
    assert b"x-serverless-authorization" not in seen[0]
    assert len(fake_clock.slept) == 1


def test_a_right_that_is_never_in_force_is_told(site, client, google, refuse):
    google.answer("POST", GENERATE, refuse(403, "PERMISSION_DENIED", "denied"))
    text = message(site.url, check("/"), client=client, wait_timeout=30, **KNOWN)
    assert f"Failed to get an identity token of {ACCOUNT}" in text
    assert "roles/iam.serviceAccountOpenIdTokenCreator" in text
    assert site.asked == []


@pytest.mark.parametrize(("status", "seconds"), [(403, 120), (401, 120), (404, 30)])
def test_only_a_refusal_is_waited_for_as_long_as_a_right_may_take(
    site, client, google, fake_clock, status, seconds
):
    google.answer("POST", GENERATE, {"token": "its-token"})
    site.page("/", (status,))
    message(site.url, check("/"), client=client, wait_timeout=30, **KNOWN, grant_timeout=120)
    assert seconds - 0.1 < sum(fake_clock.slept) <= seconds + 0.1


def test_only_the_beginning_of_a_body_is_read(site):
    site.page("/", (200, "x" * 2**20 + "late"))
    site.page("/bomb", (200, gzip.compress(b"x" * 2**27), {"Content-Encoding": "gzip"}))
    assert message(site.url, check("/", contains="late")).endswith(f"/ answered without 'late' in it. {LOG}")
    assert try_out(site.url, check("/bomb"))["checks"][0]["status"] == 200


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "no-such", "hex", "idna", "utf-16"])
def test_the_encoding_may_be_any(site, encoding):
    body = "größer".encode(encoding if encoding in ("latin-1", "utf-16") else "utf-8") + b"\xff"
    site.page("/", (200, body, {"Content-Type": f"text/html; charset={encoding}"}))
    assert try_out(site.url, check("/", contains="größer"))["checks"]
    assert "answered without 'kleiner' in it" in message(site.url, check("/", contains="kleiner"))


BROKEN = "the connection broke before the end of the answer"
INVALID = "what came is no valid answer"


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", BROKEN),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + PRIVATE.encode(), BROKEN),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz" + PRIVATE.encode(), BROKEN),
        (PRIVATE.encode(), INVALID),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2**17, INVALID),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + PRIVATE.encode(), INVALID),
    ],
)
def test_an_answer_that_is_none(peer, data, cause):
    text = message(f"http://{peer(data)}", check("/"))
    assert text == f"Failed to try SITE out: / could not be read ({cause}). {NETWORK}"


def test_a_reset_in_the_middle(peer):
    def reset(connection):
        # What is on its way arrives first.
        time.sleep(0.1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    address = peer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", reset)
    text = message(f"http://{address}", check("/"))
    assert text == f"Failed to try SITE out: / could not be read (Connection reset by peer). {NETWORK}"


def test_a_page_that_comes_drop_by_drop_is_given_up(peer):
    def drip(connection):
        for _drop in range(100):
            connection.sendall(b"x")
            time.sleep(0.05)

    address = peer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", drip)
    answer = ask(f"http://{address}", Check("/"), limit=0.3)
    assert answer.problem == "could not be read (no answer within 0 seconds)"


def test_a_refused_connection():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    text = message(f"http://127.0.0.1:{port}", check("/"), check("/b"))
    assert text == (
        "Failed to try SITE out: / could not be read (Connection refused); /b could not be read (Connection refused). "
        f"{NETWORK}"
    )


def test_an_unknown_name(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    text = message("https://nowhere.example.com", check("/"))
    assert text == f"Failed to try SITE out: / could not be read (Name or service not known). {NETWORK}"


def test_no_tls(site):
    text = message(site.url.replace("http://", "https://"), check("/"))
    assert "/ could not be read (TLS: " in text


def test_the_proxy_of_the_environment_is_asked(site, peer, monkeypatch):
    refusing = peer(b"HTTP/1.1 403 Forbidden\r\n\r\n")
    monkeypatch.setenv("HTTPS_PROXY", f"http://{refusing}")
    assert message("https://example.com", check("/")) == (
        "Failed to try SITE out: / could not be read (the proxy refused: Tunnel connection failed: 403 Forbidden). "
        f"{NETWORK}"
    )
    monkeypatch.setenv("HTTP_PROXY", site.url)
    site.page("http://example.com/", (200,))
    assert try_out("http://example.com", check("/"))["checks"][0]["status"] == 200


# What the site alone is sent, and where it is -------------------------------------------------------------------------


def test_headers_are_for_the_site_and_no_other_host(site, peer):
    seen = []
    other = peer(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        on_request=lambda request: seen.append(request.lower()),
    )
    site.page("/", (302, "", {"Location": "/there"}))
    site.page("/there", (200, LOGIN, HTML))
    site.page("/away", (302, "", {"Location": f"http://{other}/"}))
    site.page("/static/base.css", (200, "a{}", CSS))
    site.page("/login/", (200, LOGIN, HTML))
    asked = check("/", follow_redirects=True, style_sheets=True, sends_form=True)
    headers = {"X-Try-Out": "yes", "User-Agent": "smoke-test"}
    try_out(site.url, asked, headers=headers)
    # The form is sent to the page itself.
    assert site.asked == ["/", "/there", "/static/base.css", "/there"]
    try_out(site.url, check("/away", follow_redirects=True), headers=headers)
    assert [(sent["X-Try-Out"], sent["User-Agent"]) for sent in site.headers] == [("yes", "smoke-test")] * 5
    assert len(seen) == 1
    assert b"x-try-out" not in seen[0]
    assert b"smoke-test" not in seen[0]


NAME = "shop.example.com"


@pytest.fixture
def secured(site, tmp_path, monkeypatch):
    """Has the site answer with TLS as shop.example.com, and with that name alone; the names that it was asked for in TLS."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "of a test")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now - day, now + day
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    file = tmp_path / "both.pem"
    file.write_bytes(
        certificate.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    names = []
    context.sni_callback = lambda connection, name, _context: names.append(name)
    site.server.socket = context.wrap_socket(site.server.socket, server_side=True)
    return names


@pytest.fixture
def tunnels(monkeypatch):
    """A proxy of the environment that takes CONNECT and nothing else; what it was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self):
            asked.append(self.path)
            host, _colon, port = self.path.rpartition(":")
            with socket.create_connection((host, int(port))) as there:
                self.send_response(200)
                self.end_headers()
                back = threading.Thread(target=pour, args=(there, self.connection))
                back.start()
                pour(self.connection, there)
                back.join()

        def log_message(self, *_):
            pass

    def pour(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.server_port}")
    yield asked
    server.shutdown()
    thread.join()
    server.server_close()


def through(request, proxied):
    """What a proxy was asked for, if there is one."""
    return request.getfixturevalue("tunnels") if proxied else None


@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "proxy"])
def test_an_address_is_connected_to_in_place_of_the_name_with_tls(site, secured, request, proxied):
    asked = through(request, proxied)
    port = site.server.server_port
    site.page(
        "/admin/",
        (302, "", {"Location": f"https://{NAME}:{port}/login/", "Set-Cookie": "csrftoken=c; Secure; Path=/"}),
    )
    site.page("/login/", (200, LOGIN, HTML))
    site.page("/static/base.css", (200, "a{}", CSS))
    result = try_out(
        f"https://{NAME}:{port}",
        check("/admin/", follow_redirects=True, style_sheets=True, sends_form=True),
        connect_to="127.0.0.1",
    )
    assert result["checks"][0]["url"] == f"https://{NAME}:{port}/login/"
    assert site.asked == ["/admin/", "/login/", "/static/base.css", "/login/"]
    assert {sent["Host"] for sent in site.headers} == {f"{NAME}:{port}"}
    assert [sent.get("Cookie") for sent in site.headers] == [None, *["csrftoken=c"] * 3]
    assert set(secured) == {NAME}
    assert asked is None or set(asked) == {f"127.0.0.1:{port}"}


@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "proxy"])
def test_an_address_is_connected_to_in_place_of_the_name_without_tls(site, request, proxied):
    asked = through(request, proxied)
    port = site.server.server_port
    site.page("/", (200, "ok"))
    try_out(f"http://{NAME}:{port}", check("/"), connect_to="127.0.0.1")
    assert (site.asked, site.headers[0]["Host"]) == (["/"], f"{NAME}:{port}")
    assert asked is None or asked == [f"127.0.0.1:{port}"]


@pytest.mark.parametrize("address", ["203.0.113.5", "2001:db8::5"])
def test_the_port_is_that_of_the_scheme(peer, monkeypatch, address):
    seen = []
    refusing = peer(b"HTTP/1.1 403 Forbidden\r\n\r\n", on_request=seen.append)
    monkeypatch.setenv("HTTPS_PROXY", f"http://{refusing}")
    text = message(f"https://{NAME}", check("/"), connect_to=address)
    assert text == (
        f"Failed to try SITE at {address} out: / could not be read (the proxy refused: Tunnel connection failed: 403 Forbidden). {NETWORK}"
    )
    message(f"http://{NAME}", check("/"), connect_to=address)
    hosts = [request.split(b" ")[1].decode().replace("[", "").replace("]", "") for request in seen]
    assert hosts == [f"{address}:443", f"{address}:80"]


def test_a_certificate_of_another_name_is_refused_also_at_an_address(site, secured):
    text = message(f"https://other.example.com:{site.server.server_port}", check("/"), connect_to="127.0.0.1")
    assert "/ could not be read (TLS: Hostname mismatch" in text
    assert site.asked == []


# One of them has a name that begins like the site's.
@pytest.mark.parametrize("name", ["other.example.com", f"{NAME}.example.com"])
def test_other_hosts_are_asked_as_ever(site, monkeypatch, name):
    looked_up = []

    def nowhere(host, *_, **__):
        looked_up.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    port = site.server.server_port
    site.page("/", (302, "", {"Location": f"http://{name}:{port}/"}))
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *a, **k: (resolve if host == "127.0.0.1" else nowhere)(host, *a, **k),
    )
    text = message(f"http://{NAME}:{port}", check("/", follow_redirects=True), connect_to="127.0.0.1")
    assert (
        f"/ redirects to http://{name}:{port}/, which could not be read (Name or service not known)" in text
    )
    assert looked_up == [name]
    assert site.asked == ["/"]


def test_a_redirect_to_the_site_by_another_scheme_leads_to_the_address_too(site, secured, peer):
    other = peer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    site.page("/", (302, "", {"Location": f"http://{NAME}:{other.rpartition(':')[2]}/"}))
    url = f"https://{NAME}:{site.server.server_port}"
    result = try_out(url, check("/", follow_redirects=True), connect_to="127.0.0.1")
    assert result["checks"][0]["url"] == f"http://{NAME}:{other.rpartition(':')[2]}/"


@pytest.mark.parametrize(
    ("rule", "value", "passes"),
    [
        ("headers", {"X-Try-Out": "a, b", "User-Agent": ""}, True),
        ("headers", {"X-Try-Out": "a\r\nHost: b"}, False),
        ("headers", {"X-Try-Out": "a\n"}, False),
        ("headers", {"X-Try-Out": " a"}, False),
        ("headers", {"X-Try-Out": "größer"}, False),
        ("headers", {"X-Try-Out": 1}, False),
        ("headers", {"X Try": "a"}, False),
        ("headers", {"X-Try:": "a"}, False),
        ("headers", {"X-Try\n": "a"}, False),
        ("headers", {"": "a"}, False),
        ("headers", {"hOST": "a"}, False),
        ("headers", {"Host-Of": "a"}, True),
        ("connect_to", "203.0.113.5", True),
        ("connect_to", "2001:db8::5", True),
        ("connect_to", "fe80::1%eth0", False),
        ("connect_to", "203.0.113", False),
        ("connect_to", "shop.example.com", False),
        ("connect_to", "203.0.113.5\n", False),
    ],
)
def test_what_can_be_no_header_and_no_address_is_refused(rule, value, passes):
    assert smoke_test.RULES[rule].test(value) is passes


def test_certificates_that_cannot_be_read(monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")
    text = message("https://127.0.0.1:9", check("/"), check("/b"))
    assert text.startswith("Cannot read the CA certificates in /nowhere.pem (")
    assert "\n" not in text


def test_a_path_that_nobody_would_want_to_read_is_shortened(site):
    path = "/" + "x" * 2000
    site.page(path, (404,))
    assert message(site.url, check(path)) == (
        f"Failed to try SITE out: {path[:100]}... (2001 characters) answered 404 (expected 200). {LOG}"
    )


SIGNS = Change("service_account", "web@p", "roles/iam.serviceAccountTokenCreator", "serviceAccount:web@p")


def test_what_a_placeholder_says_is_still_refused_is_waited_for_before_any_page_is_asked(
    site, client, granted, fake_clock
):
    granted.note(SIGNS)
    refused = (503, json.dumps({"refused": [str(SIGNS)]}))
    site.page("/-/rights", refused, refused, (503, json.dumps({"refused": []})))
    site.page("/", (200, "ok"))
    try_out(site.url, check("/"), client=client, placeholder_url=site.url)
    assert site.asked == ["/-/rights"] * 3 + ["/"]


@pytest.mark.parametrize(
    "answer",
    [
        # It was not granted a moment ago.
        (503, json.dumps({"refused": ["roles/other on bucket b was granted"]})),
        (503, "This site has not been released yet."),
        (503, json.dumps([str(SIGNS)])),
        # No placeholder says so.
        (200, json.dumps({"refused": [str(SIGNS)]})),
        (404, "not found"),
    ],
)
def test_nothing_else_is_waited_for(site, client, granted, fake_clock, answer):
    granted.note(SIGNS)
    site.page("/-/rights", answer)
    site.page("/", (500, "no"))
    with pytest.raises(DjangoGcpError, match="/ answered 500"):
        try_out(site.url, check("/"), client=client, placeholder_url=site.url)
    assert fake_clock.slept == []


def test_where_nothing_was_granted_no_placeholder_is_asked(site, client):
    site.page("/", (200, "ok"))
    try_out(site.url, check("/"), client=client, placeholder_url=site.url)
    assert site.asked == ["/"]


# What belongs to a page -------------------------------------------------------------------------------------------------

HTML = {"Content-Type": "text/html; charset=utf-8"}
CSS = {"Content-Type": "text/css"}
STYLES = (
    "Visitors see the page without its styles: check that STATIC_URL begins with / or https://, that collectstatic finds the file, and the link"
    " itself."
)
LOGIN = """
<html><head><title>Log in</title><link rel="stylesheet" href="/static/base.css"></head><body>
<form method="get"><input name="q"></form>
<form method="post"><input type="hidden" name="csrfmiddlewaretoken" value="t0ken"><input name="username" value="x">
<input type="hidden" name="next" value="/admin/"><select name="language"></select><input type="submit" name="go" value="Log in"></form>
"""


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ([(200, "a{}", CSS)], ""),
        ([(304, "", CSS)], "answered 304"),
        ([(404, "", HTML)], "answered 404"),
        # A page that takes every address for its own, and one behind a log-in.
        ([(200, "<html>", HTML)], "is a page of HTML"),
        ([(302, "", {"Location": "/login/"})], "is a page of HTML"),
        ([(302, "", {"Location": "/there.css"})], ""),
    ],
)
def test_a_style_sheet_that_a_page_links_is_there(site, answers, problem):
    site.page("/", (200, '<base href="/en/"><link href="s.css?v=1" rel="preload StyleSheet">', HTML))
    site.page("/en/s.css?v=1", *answers)
    site.page("/login/", (200, "<html>", HTML))
    site.page("/there.css", (200, "a{}", CSS))
    asked = check("/", any_answer=True, follow_redirects=True, style_sheets=True)
    if not problem:
        assert try_out(site.url, asked)["checks"][0]["problem"] == ""
        return
    assert message(site.url, asked) == (
        f"Failed to try SITE out: / links the style sheet SITE/en/s.css, which {problem}. {STYLES}"
    )


def test_style_sheets_of_other_hosts_and_what_is_none_are_not_asked_for(site):
    links = [
        '<link rel="stylesheet" href="http://127.0.0.1:9/x.css">',
        '<link rel="icon" href="/absent.png">',
    ]
    many = [f'<link rel="stylesheet" href="/{number}.css">' for number in range(12)]
    site.page("/", (200, "".join([*links, *many, "<link rel=stylesheet href=http://[x>"]), HTML))
    for number in range(12):
        site.page(f"/{number}.css", (200, "", CSS))
    try_out(site.url, check("/", style_sheets=True))
    assert site.asked == ["/", *(f"/{number}.css" for number in range(10))]
    # Of a page that is not one of HTML nothing is read.
    site.page("/", (200, many[0], {"Content-Type": "text/plain"}))
    try_out(site.url, check("/", style_sheets=True))
    assert site.asked[-1] == "/"


def test_a_form_is_sent_back_as_a_browser_sends_it(site):
    site.page("/admin/", (302, "", {"Location": "/admin/login/", "Set-Cookie": "csrftoken=c0okie; Path=/"}))
    site.page("/admin/login/", (200, LOGIN, HTML))
    asked = check("/admin/", follow_redirects=True, contains="csrfmiddlewaretoken", sends_form=True)
    try_out(site.url, asked)
    assert site.sent == ["csrfmiddlewaretoken=t0ken&username=&next=%2Fadmin%2F&language="]
    sent = site.headers[-1]
    assert (sent["Cookie"], sent["Origin"]) == ("csrftoken=c0okie", site.url)
    assert sent["Referer"] == f"{site.url}/admin/login/"


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (200, ""),
        (302, ""),
        (404, ""),
        (
            403,
            "refuses (403) the form that it has at SITE/login/. Nobody can log in to a site that refuses its own forms",
        ),
        (400, "answers 400 to the form that it has at SITE/login/, sent empty."),
        (500, "answers 500 to the form that it has at SITE/login/, sent empty."),
    ],
)
def test_a_form_must_not_be_refused(site, status, problem):
    site.page("/login/", (200, LOGIN, HTML), (status, PRIVATE, HTML))
    asked = check("/login/", sends_form=True)
    if problem:
        assert f"/login/ {problem}" in message(site.url, asked)
    else:
        assert try_out(site.url, asked)["checks"][0]["problem"] == ""
    assert len(site.sent) == 1


@pytest.mark.parametrize(
    ("page", "headers"),
    [
        # A browser would not send this cookie back here, and would be refused for that.
        (LOGIN, {"Set-Cookie": "csrftoken=c; Domain=shop.example.com"}),
        (LOGIN.replace("csrfmiddlewaretoken", "other"), {}),
        (LOGIN.replace('method="post"', 'method="post" action="https://other.example.com/"'), {}),
    ],
)
def test_a_form_of_which_nothing_can_be_known_is_not_sent(site, page, headers):
    site.page("/login/", (200, page, HTML | headers))
    try_out(site.url, check("/login/", sends_form=True))
    assert site.sent == []


def test_the_first_words_of_an_error_are_told_and_no_other_page_s(site):
    text = (
        f"<title>Error</title><style>x</style><script>y</script><h1>Server Error (500)</h1>\n<p>{'so ' * 90}"
    )
    site.page("/", (500, text, HTML))
    told = message(site.url, check("/", any_answer=True))
    words = "Server Error (500) so so so"
    assert told.startswith(
        f"Failed to try SITE out: / answered 500 (expected less than 500, and not 400): '{words}"
    )
    site.page("/", (400, "<title>Bad Request (400)</title>", HTML))
    assert "(expected less than 500, and not 400): 'Bad Request (400)'. " in message(
        site.url, check("/", any_answer=True)
    )
    site.page(
        "/", (403, PRIVATE, {"Content-Type": "text/plain"}), (403, PRIVATE, {"Content-Type": "text/plain"})
    )
    assert "answered 403 (expected 200). " in message(site.url, check("/"))


def test_a_first_page_may_be_elsewhere(site):
    site.page("/", (302, "", {"Location": "https://www.example.com/"}))
    asked = check("/", follow_redirects=True, any_answer=True, style_sheets=True, sends_form=True)
    assert try_out(site.url, asked)["checks"][0]["status"] == 302
