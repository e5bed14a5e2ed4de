# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

"""What a host answers a browser with, asked of a server of this test."""

import contextlib
import datetime
import http.client
import ipaddress
import socket
import ssl
import threading

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils._client import connection_through
from ansible_collections.org.djangogcp.plugins.modules import certificates_info
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Begins to answer TLS with a certificate for an address; its port."""
    for name in ("HTTPS_PROXY", "https_proxy", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    with contextlib.ExitStack() as stack:

        def begin(address="127.0.0.1", days=60):
            key = ec.generate_private_key(ec.SECP256R1())
            name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "of a test")])
            now = datetime.datetime.now(datetime.UTC)
            names = [x509.IPAddress(ipaddress.ip_address(address)), x509.DNSName("www.example.com")]
            certificate = (
                x509.CertificateBuilder()
                .subject_name(name)
                .issuer_name(name)
                .public_key(key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(days=1))
                .not_valid_after(now + datetime.timedelta(days=days, hours=1))
                .add_extension(x509.SubjectAlternativeName(names), critical=False)
                .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
                .sign(key, hashes.SHA256())
            )
            file = tmp_path / f"{address}-{days}.pem"
            file.write_bytes(
                certificate.public_bytes(serialization.Encoding.PEM)
                + key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(file)
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def answer():
                with contextlib.suppress(OSError):
                    while True:
                        connection, _address = listening.accept()
                        with (
                            contextlib.suppress(OSError),
                            context.wrap_socket(connection, server_side=True) as secure,
                        ):
                            secure.recv(1)

            threading.Thread(target=answer, daemon=True).start()
            return listening.getsockname()[1]

        yield begin


def test_how_long_it_is_good_for_and_its_names(serve):
    found = certificates_info.look("127.0.0.1", serve(days=60))
    assert (found["problem"], found["days_left"], found["names"]) == ("", 60, ["www.example.com"])
    assert found["not_after"].endswith("Z")


def test_one_that_ended_is_for_another_host_or_is_no_certificate(serve):
    other = certificates_info.look("127.0.0.1", serve(address="127.0.0.2"))
    assert other["problem"].startswith("has a certificate that browsers refuse: ")
    assert "IP address mismatch" in other["problem"]
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert certificates_info.look("127.0.0.1", port)["problem"] == "is not reached: Connection refused"


def test_a_host_that_there_is_none_of(serve):
    serve()
    found = certificates_info.look("absent.invalid", 443)
    assert found["problem"].startswith("is not reached: ")
    assert found["days_left"] == 0


def test_a_proxy_of_the_environment_is_asked(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://somebody:s3cret@127.0.0.1:9")
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.delenv("no_proxy", raising=False)
    connection = connection_through(http.client.HTTPSConnection, "www.example.com", 443)
    assert (connection.host, connection.port) == ("127.0.0.1", 9)
    assert connection._tunnel_host == "www.example.com"
