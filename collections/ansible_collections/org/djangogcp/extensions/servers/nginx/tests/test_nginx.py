# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What clients get from nginx, and what the role does when a change is wrong: effects, not text."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from testinfra.host import Host

SITES = yaml.safe_load((Path(__file__).resolve().parents[1] / "vars/sites.yml").read_text("utf-8"))
SHOP, BLOG = SITES["shop"], SITES["blog"]
NEWS = {"name": "news", "names": ["news.example.test"], "upstream": "127.0.0.1:8001", "acme": True}
RESOLVE = "--connect-to ::127.0.0.1:"
#: The release that waits, with a name as long as the role gunicorn lets one be: nginx's hash has no room for a longer one.
CANDIDATE = "next-" + 41 * "7"
Play = Callable[..., subprocess.CompletedProcess[str]]


def curl(host: Host, arguments: str) -> tuple[int, dict[str, str], str]:
    """The status, the headers in small letters, and the body; status 0 where the connection is closed."""
    done = host.run(f"curl --silent --insecure --include --path-as-is {RESOLVE} {arguments}")
    if done.rc != 0:
        return 0, {}, ""
    head, _unused, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
    first, *lines = head.splitlines()
    headers: dict[str, str] = {}
    for line in lines:
        name, _unused, value = line.partition(": ")
        assert name.lower() not in headers, f"{name} is sent twice"
        headers[name.lower()] = value
    return int(first.split()[1]), headers, body


def application(host: Host, arguments: str) -> dict[str, Any]:
    """What reached the application."""
    status, _unused, body = curl(host, arguments)
    assert status == 200, (status, body)
    said: dict[str, Any] = json.loads(body)
    return said


def serial(host: Host, name: str) -> str:
    """The serial number of the certificate that nginx shows."""
    return host.check_output(
        f"true | openssl s_client -connect 127.0.0.1:443 -servername {name} 2>/dev/null | openssl x509 -noout -serial"
    )


def printed(done: subprocess.CompletedProcess[str]) -> str:
    """What a play printed, in one line and without the colours that Molecule asks for."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).split())


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


@contextmanager
def visitors(host: Host) -> Iterator[list[str]]:
    """Asks the shop again and again, on a new connection each time; what was not answered with 200 is in the list at the end.

    nginx closes what is connected and has not asked yet when it reloads (assumed: its idle connections). Who has no answer at all asks once more, as a
    browser does.
    """
    failed: list[str] = []
    host.check_output("rm -f /tmp/stop /tmp/visits")
    visit = (
        f"curl --silent --insecure --retry 1 --retry-all-errors --retry-delay 1 {RESOLVE}"
        " --output /dev/null --write-out '%{http_code}\\n' https://shop.example.test/slow/"
    )
    loop = f"while ! test -e /tmp/stop; do {visit} >> /tmp/visits; sleep 0.4; done"
    host.check_output("for one in 1 2; do setsid sh -c %s > /dev/null 2>&1 < /dev/null & done", loop)
    wait_for(lambda: host.run("grep -c 200 /tmp/visits").rc == 0)
    try:
        yield failed
    finally:
        host.check_output("touch /tmp/stop")
    wait_for(lambda: host.run("pgrep --full [s]hop.example.test/slow").rc != 0)
    visits = host.check_output("cat /tmp/visits").split()
    assert len(visits) > 10
    failed.extend(visit for visit in visits if visit != "200")


def test_a_host_that_no_site_has_gets_no_answer(host: Host) -> None:
    plain = host.run("curl --silent --show-error http://127.0.0.1/ --header 'Host: evil.example.test'")
    assert (plain.rc, plain.stdout) == (52, ""), plain
    tls = host.run(
        "curl --silent --show-error --insecure --connect-to ::127.0.0.1: https://evil.example.test/"
    )
    assert tls.rc == 35
    assert "unrecognized name" in tls.stderr
    # Nor does a name in TLS open the door for another one in the request.
    assert curl(host, "https://shop.example.test/ --header 'Host: evil.example.test'")[0] == 0


def test_what_a_client_says_of_itself_is_not_passed_on(host: Host) -> None:
    spoofed = "--header 'X-Forwarded-For: 9.9.9.9' --header 'X-Forwarded-Proto: http' --header 'X-Forwarded-Host: evil' --header 'Forwarded: for=9.9.9.9'"
    headers = application(host, f"https://shop.example.test/x {spoofed}")["headers"]
    assert headers["host"] == "shop.example.test"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "https"
    assert "9.9.9.9" not in str(headers)
    assert {"x-forwarded-host", "forwarded"}.isdisjoint(headers)


def test_http_leads_to_https_and_other_names_to_the_first(host: Host) -> None:
    status, headers, _unused = curl(host, "'http://blog.example.test/a?b=c'")
    assert (status, headers["location"]) == (301, "https://blog.example.test/a?b=c")
    status, headers, _unused = curl(host, "'http://www.shop.example.test/a?b=c'")
    assert (status, headers["location"]) == (301, "https://shop.example.test/a?b=c")
    status, headers, _unused = curl(host, "'https://www.shop.example.test/a?b=c'")
    assert (status, headers["location"]) == (301, "https://shop.example.test/a?b=c")


@pytest.mark.parametrize(
    ("named", "asked"),
    [
        ("", "blog"),
        (f"--header 'X-Release-Candidate: {CANDIDATE}'", "shop"),
        (f"--header 'X-Release-Candidate: {CANDIDATE}7'", "blog"),
        ("--header 'X-Release-Candidate: djangogcp_shop'", "blog"),
        ("--header 'X-Release-Candidate;'", "blog"),
        (
            f"--header 'X-Release-Candidate: other' --header 'X-Release-Candidate: {CANDIDATE}'",
            "blog",
        ),
    ],
)
def test_a_candidate_is_reached_by_its_name_alone(host: Host, named: str, asked: str) -> None:
    path = "/a%2Fb%20c%3F/d%25//e/./%C3%A9;f,g?h=%26&i=j+k&l=%2F%3D?m"
    said = application(host, f"'https://blog.example.test{path}' {named}")
    assert (said["application"], said["path"], said["headers"]["host"]) == (asked, path, "blog.example.test")


def test_static_files_are_sent_compressed_and_kept(host: Host) -> None:
    status, headers, _unused = curl(
        host,
        "https://shop.example.test/static/app.0123456789ab.css --header 'Accept-Encoding: gzip' --output /dev/null --dump-header -",
    )
    assert status == 200
    assert headers["content-encoding"] == "gzip"
    assert headers["content-length"] == str(host.file("/srv/shop/static/app.0123456789ab.css.gz").size)
    assert headers["vary"] == "Accept-Encoding"
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["content-type"] == "text/css"
    # Another one may be there tomorrow under the same name.
    status, headers, body = curl(host, "https://shop.example.test/static/app.css")
    assert (status, headers["cache-control"], body) == (200, "public, max-age=300", "body {color: red}")
    assert "content-encoding" not in headers
    status, headers, _unused = curl(host, "https://shop.example.test/static/none.0123456789ab.css")
    assert status == 404
    assert "cache-control" not in headers


@pytest.mark.parametrize("path", ["/", "/static/app.css", "/static/none", "/media/page.html"])
def test_every_answer_has_the_security_headers_once(host: Host, path: str) -> None:
    _unused, headers, _unused = curl(host, f"https://shop.example.test{path}")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["strict-transport-security"] == "max-age=86400"
    assert headers["server"] == "nginx"


def test_the_word_of_the_application_counts(host: Host) -> None:
    assert curl(host, "https://shop.example.test/own/")[1]["referrer-policy"] == "no-referrer"
    # HSTS is off unless asked for.
    assert "strict-transport-security" not in curl(host, "https://blog.example.test/")[1]


def test_scripts_in_uploads_do_not_run(host: Host) -> None:
    status, headers, _unused = curl(host, "https://shop.example.test/media/page.html")
    assert status == 200
    assert "script-src 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize("prefix", ["/static", "/media"])
@pytest.mark.parametrize(
    "climb",
    [
        "/../secret.txt",
        "../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/x/../../secret.txt",
        "//../secret.txt",
    ],
)
def test_no_path_leads_out_of_the_folders(host: Host, prefix: str, climb: str) -> None:
    status, _unused, body = curl(host, f"'https://shop.example.test{prefix}{climb}'")
    # It is the application's to answer, or refused; the file is not sent.
    assert body != "secret"
    assert status in (400, 404) or json.loads(body)["application"] == "shop"


def test_a_link_in_the_uploads_to_a_file_of_another_owner_is_refused(host: Host) -> None:
    assert curl(host, "https://shop.example.test/media/link.txt")[0] == 403


def test_an_upload_that_is_too_large_is_refused(host: Host) -> None:
    host.check_output("truncate --size=900K /tmp/small && truncate --size=2M /tmp/large")
    assert application(host, "https://shop.example.test/ --data-binary @/tmp/small")["length"] == 900 * 1024
    assert (
        curl(host, "https://shop.example.test/ --http1.1 --header 'Expect:' --data-binary @/tmp/large")[0]
        == 413
    )
    assert (
        application(host, "https://blog.example.test/ --data-binary @/tmp/large")["length"] == 2 * 1024 * 1024
    )


def test_a_slow_client_is_let_go_and_holds_no_worker_of_the_application(host: Host) -> None:
    code = """
import socket, time
with socket.create_connection(("127.0.0.1", 80)) as connection:
    connection.settimeout(20)
    connection.sendall(b"GET / HTTP/1.1\\r\\nHost: other.example.test\\r\\nX-Slow: ")
    begin = time.monotonic()
    try:
        while time.monotonic() - begin < 15:
            connection.sendall(b"a")
            connection.settimeout(0.3)
            try:
                if connection.recv(1000) == b"":
                    break
            except TimeoutError:
                pass
    except OSError:
        pass
    print(round(time.monotonic() - begin, 1))
"""
    assert 1 <= float(host.check_output("python3 -c %s", code)) < 8


def test_the_site_of_somebody_else_is_left_alone(host: Host) -> None:
    assert curl(host, "http://other.example.test/")[2] == "other"


def test_old_versions_of_tls_are_refused(host: Host) -> None:
    assert (
        host.run(
            f"curl --silent --insecure {RESOLVE} --tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 https://shop.example.test/"
        ).rc
        == 35
    )
    assert curl(host, "https://shop.example.test/ --tls-max 1.2")[0] == 200


def test_the_certificate_by_acme_is_renewed_and_served_by_the_unit_alone(host: Host) -> None:
    issuer = host.check_output(
        "true | openssl s_client -connect 127.0.0.1:443 -servername blog.example.test 2>/dev/null | openssl x509 -noout -issuer"
    )
    assert "Pebble" in issuer
    before = serial(host, "blog.example.test")
    assert host.service("nginx-acme.timer").is_running
    assert host.service("nginx-acme.timer").is_enabled
    # It is not due: nothing happens.
    host.check_output("systemctl start nginx-acme.service")
    assert serial(host, "blog.example.test") == before
    host.check_output("sed -i s/^RENEW_DAYS=30$/RENEW_DAYS=90/ /etc/nginx-acme/dehydrated.conf")
    host.check_output("systemctl start nginx-acme.service")
    host.check_output("sed -i s/^RENEW_DAYS=90$/RENEW_DAYS=30/ /etc/nginx-acme/dehydrated.conf")
    wait_for(lambda: serial(host, "blog.example.test") != before)
    assert host.file("/var/lib/nginx-acme/certs/blog/privkey.pem").mode & 0o077 == 0
    assert host.file("/var/lib/nginx-acme/certs/blog").mode & 0o077 == 0


def test_a_wrong_line_changes_nothing_and_nginx_says_why(hosts: dict[str, Host], play: Play) -> None:
    before = {name: host.file("/etc/nginx/conf.d/djangogcp.conf").sha256sum for name, host in hosts.items()}
    with visitors(hosts["debian12"]) as failed:
        done = play("converge.yml", nginx_sites=[{**SHOP, "extra": "proxy_pas http://x;"}, BLOG])
    said = printed(done)
    assert done.returncode == 2
    assert failed == []
    for name, host in hosts.items():
        assert f"fatal: [{name}]" in said
        assert host.file("/etc/nginx/conf.d/djangogcp.conf").sha256sum == before[name]
        # It would come back after a reboot, too.
        host.check_output("nginx -t")
        assert curl(host, "https://shop.example.test/robots.txt")[2] == "robots"
    assert 'unknown directive "proxy_pas" in /etc/nginx/conf.d/djangogcp.conf:' in said
    assert ": proxy_pas http://x;)" in said


def test_what_cannot_be_served_is_refused_at_once(play: Play) -> None:
    wrong = {
        "name": "shop",
        "names": ["Shop.example.test", "shop.example.test", "a.test; return 200"],
        "upstream": "127.0.0.1",
        "candidate": "unix:/run/applications/shop.sock",
        "static_dir": "/srv/../etc",
        "static_url": "/static",
        "certificate": "/etc/trial/shop.pem",
        "acme": True,
        "upload_limit": "big",
    }
    done = play("converge.yml", "--limit=debian12", nginx_sites=[SHOP, wrong])
    said = printed(done)
    assert done.returncode == 2
    for words in (
        "site 2 (shop): another site has its name",
        'names has "Shop.example.test", which is not a host name in small letters',
        "names has shop.example.test for the second time",
        'names has "a.test; return 200"',
        'upstream is "127.0.0.1", expected unix:/PATH, HOST:PORT or file:/PATH',
        'candidate is "unix:/run/applications/shop.sock", expected file:/PATH',
        'static_dir is "/srv/../etc"',
        'static_url is "/static"',
        "certificate and certificate_key go together",
        "certificate and acme exclude each other",
        'upload_limit is "big"',
    ):
        assert words.replace('"', "") in said.replace('\\"', "").replace('"', ""), words


def test_a_certificate_that_has_ended_is_told_and_one_that_acme_refuses_too(
    hosts: dict[str, Host], play: Play
) -> None:
    """One play: the first host has an old certificate, the second a name that the authority does not find."""
    host = hosts["debian12"]
    request = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -subj /CN=old -keyout /etc/trial/old.key -out /etc/trial/old.pem"
    host.check_output(f"rm -f /tmp/index /tmp/serial; touch /tmp/index; {request} -days 1")
    done = host.run(
        "cd /tmp && printf '[a]\\ndatabase=/tmp/index\\nserial=/tmp/serial\\nnew_certs_dir=/tmp\\npolicy=p\\ndefault_md=sha256\\n[p]\\ncommonName=supplied\\n'"
        " > ca.cnf && openssl req -new -key /etc/trial/old.key -subj /CN=old -out old.csr && openssl ca -batch -config ca.cnf -name a -selfsign"
        " -keyfile /etc/trial/old.key -in old.csr -create_serial -startdate 20240101000000Z -enddate 20240201000000Z -notext -out /etc/trial/old.pem"
    )
    assert done.rc == 0, done.stderr
    old = {**SHOP, "certificate": "/etc/trial/old.pem", "certificate_key": "/etc/trial/old.key"}
    ended = play("converge.yml", "--limit=debian12", nginx_sites=[old, BLOG])
    said = printed(ended)
    assert ended.returncode == 2
    assert "/etc/trial/old.pem of the site shop ended on Feb 1 00:00:00 2024 GMT. Nothing was changed" in said
    unknown = {**NEWS, "names": ["nowhere.example.test"]}
    refused = play("converge.yml", "--limit=debian13", nginx_sites=[SHOP, BLOG, unknown])
    said = printed(refused)
    assert refused.returncode == 2
    assert "No certificate from https://localhost:14000/dir" in said
    assert "nowhere.example.test" in said
    # The others are served, and it does not hold them up.
    assert application(hosts["debian13"], "https://shop.example.test/")["application"] == "shop"
    assert application(hosts["debian13"], "https://blog.example.test/")["application"] == "blog"
    assert host.file("/etc/nginx/conf.d/djangogcp.conf").contains("/etc/trial/shop.pem")


def test_a_site_comes_and_goes_without_a_failed_request(hosts: dict[str, Host], play: Play) -> None:
    with visitors(hosts["debian12"]) as first, visitors(hosts["debian13"]) as second:
        assert play("converge.yml", nginx_sites=[SHOP, BLOG, NEWS]).returncode == 0
        for host in hosts.values():
            assert application(host, "https://news.example.test/")["application"] == "blog"
        assert play("converge.yml").returncode == 0
    assert (first, second) == ([], [])
    for host in hosts.values():
        assert curl(host, "https://news.example.test/")[0] == 0
        assert curl(host, "http://other.example.test/")[2] == "other"


def test_it_is_there_after_a_reboot(hosts: dict[str, Host]) -> None:
    for host in hosts.values():
        subprocess.run(["docker", "restart", host.backend.name], check=True, capture_output=True)
        wait_for(lambda host=host: curl(host, "https://shop.example.test/")[0] == 200, 40)
        assert host.service("nginx-acme.timer").is_running


def test_behind_a_load_balancer_its_word_counts_and_nobody_elses(hosts: dict[str, Host], play: Play) -> None:
    plain = {"name": "shop", "names": ["shop.example.test"], "upstream": SHOP["upstream"], "hsts_days": 1}
    assert (
        play(
            "converge.yml",
            nginx_sites=[plain, BLOG],
            nginx_load_balancer_ranges=["127.0.0.1", "10.77.0.0/16"],
        ).returncode
        == 0
    )
    said = "--header 'X-Forwarded-For: 9.9.9.9, 8.8.8.8, 10.77.1.1' --header 'X-Forwarded-Proto: https'"
    for host in hosts.values():
        headers = application(host, f"http://shop.example.test/ {said}")["headers"]
        # The last address that is not the load balancer's: what stands before it is the client's word.
        assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == ("8.8.8.8", "https")
        # Somebody beside the load balancer.
        own = host.check_output("hostname --all-ip-addresses").split()[0]
        headers = application(
            host, f"--connect-to ::{own}: --interface {own} http://shop.example.test/ {said}"
        )["headers"]
        assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == (own, "http")
        status, headers, _unused = curl(host, "http://shop.example.test/a --header 'X-Forwarded-Proto: http'")
        assert (status, headers["location"]) == (301, "https://shop.example.test/a")
        # Its health check names no scheme.
        assert curl(host, "http://shop.example.test/")[0] == 200


def test_zz_nothing_stays_of_it(hosts: dict[str, Host], play: Play) -> None:
    assert play("absent.yml").returncode == 0
    for host in hosts.values():
        wait_for(lambda host=host: curl(host, "https://shop.example.test/")[0] == 0)
        assert curl(host, "http://other.example.test/")[2] == "other"
        assert not host.service("nginx-acme.timer").is_running
