# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tunnels, of which the other side is a script: what is sent again, what ends one, and what is said of it. The whole way is tests/integration/test_ssh.py."""

from __future__ import annotations

import asyncio
import struct

import pytest
from ansible_collections.org.djangogcp.plugins.module_utils import _iap
from ansible_collections.org.djangogcp.plugins.module_utils._auth import AuthOptions, TokenSource
from ansible_collections.org.djangogcp.plugins.module_utils._errors import AuthError

TARGET = _iap.Target("p", "us-east1-b", "polls")


def connected(sid=b"S-1"):
    return struct.pack(">HI", 1, len(sid)) + sid


def reconnected(received):
    return struct.pack(">HQ", 2, received)


def data(content):
    return struct.pack(">HI", 4, len(content)) + content


def ack(total):
    return struct.pack(">HQ", 7, total)


BROKEN = _iap._BrokenError("it broke off")


class Socket:
    """A WebSocket that gives what a test says, in turn: messages, errors, or how many messages have to be sent before it goes on."""

    def __init__(self, *script):
        self._script = list(script)
        self._more = asyncio.Event()
        self.sent = []
        self.closed = None

    async def read(self):
        while self._script:
            one = self._script.pop(0)
            if isinstance(one, int):
                while len(self.sent) < one:
                    self._more.clear()
                    await self._more.wait()
            elif isinstance(one, Exception):
                raise one
            else:
                return one
        await asyncio.Event().wait()
        raise AssertionError

    def write(self, content, kind=2):
        self.sent.append(content)
        self._more.set()

    async def drain(self):
        return None

    def close(self, *, politely):
        self.closed = politely


class Say:
    """Where what the machine says goes."""

    def __init__(self):
        self.said = b""

    def write(self, content):
        self.said += content

    async def drain(self):
        return None


@pytest.fixture
def run(monkeypatch, google, fake_clock):
    """Runs a tunnel over connections that a function makes one by one; what was said, and the paths that were asked for."""
    monkeypatch.setattr(_iap, "_LAST_WORD_SECONDS", 0.05)
    monkeypatch.setattr(_iap, "_RECONNECT_SECONDS", 0.2)

    def begin(*openings, heard=(), ends=True):
        paths, left = [], list(openings)

        async def opened(path, token):
            paths.append(path)
            one = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(one, Exception):
                raise one
            return one

        monkeypatch.setattr(_iap._WebSocket, "open", opened)

        async def go():
            reader, say = asyncio.StreamReader(), Say()
            for piece in heard:
                reader.feed_data(piece)
            if ends:
                reader.feed_eof()
            tokens = TokenSource(AuthOptions(auth_kind="accesstoken", access_token="t"), google, None)
            await _iap.Tunnel(TARGET, tokens).run(reader, say)
            return say.said

        return asyncio.run(go()), paths

    return begin


@pytest.mark.parametrize("code", [1000, 4009, 4010])
def test_both_directions(run, code):
    socket = Socket(connected(), 1, data(b"hel"), data(b"lo"), _iap._ClosedError(code, ""))
    said, paths = run(socket, heard=[b"hi"])
    assert said == b"hello"
    assert socket.sent == [data(b"hi")]
    assert socket.closed is True
    assert paths == [
        "/v4/connect?project=p&port=22&newWebsocket=True&zone=us-east1-b&instance=polls&interface=nic0"
    ]


def test_what_is_received_is_confirmed(run):
    socket = Socket(
        connected(), data(b"x" * 16384), data(b"x" * 16384), data(b"x"), 1, _iap._ClosedError(1000, "")
    )
    said, _paths = run(socket, ends=False)
    assert len(said) == 32769
    assert socket.sent == [ack(32769)]


def test_who_has_said_all_waits_for_the_last_word_only(run):
    socket = Socket(connected(), 1, data(b"bye"))
    assert run(socket, heard=[b"hi"])[0] == b"bye"
    assert socket.closed is True


@pytest.mark.parametrize(
    "why", [BROKEN, _iap._ClosedError(4004, "reauthenticate")], ids=["broken", "new token"]
)
def test_what_was_not_confirmed_is_sent_again(run, why):
    first = Socket(connected(), data(b"he"), 1, ack(2), why)
    second = Socket(reconnected(3), 1, data(b"llo"), _iap._ClosedError(1000, ""))
    said, paths = run(first, second, heard=[b"abcdef"])
    assert said == b"hello"
    assert (first.closed, second.closed) == (False, True)
    assert second.sent == [data(b"def")]
    assert paths[1] == "/v4/reconnect?sid=S-1&newWebsocket=True&zone=us-east1-b&ack=2"


def test_a_network_that_is_away_for_a_while(run):
    first = Socket(connected(), BROKEN)
    second = Socket(reconnected(0), _iap._ClosedError(1000, ""))
    _said, paths = run(first, OSError("unreachable"), BROKEN, second)
    assert len(paths) == 4


def test_a_network_that_does_not_come_back(run):
    with pytest.raises(_iap.TunnelError, match=r"Lost the tunnel to port 22 of instance polls .*unreachable"):
        run(Socket(connected(), BROKEN), OSError("unreachable"))


def test_more_than_was_sent_cannot_be_confirmed(run):
    with pytest.raises(_iap.TunnelError, match="confirms 3 bytes, 2 were sent"):
        run(Socket(connected(), 1, ack(3)), heard=[b"hi"])


LONG_CLOSE = struct.pack(">HII", 10, 4033, 0)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ((_iap._ClosedError(4033, "not authorized"),), "roles/iap.tunnelResourceAccessor"),
        ((connected(), LONG_CLOSE), "roles/iap.tunnelResourceAccessor"),
        ((_iap._ClosedError(4003, "failed to connect to backend"),), "allows tcp:22 from 35.235.240.0/20"),
        ((_iap._ClosedError(4047, "Failed to lookup instance"),), "no such instance that runs"),
        ((connected(), _iap._ClosedError(4013, "invalid data")), "answered 4013 invalid data"),
        ((connected(), BROKEN, _iap._ClosedError(4001, "")), "does not know it any more"),
    ],
)
def test_refusals_say_what_to_do(run, script, expected):
    *before, last = script
    sockets = [Socket(*script)]
    if before and before[-1] is BROKEN:
        sockets = [Socket(*before), Socket(last)]
    with pytest.raises(_iap.TunnelError) as refused:
        run(*sockets)
    assert refused.value.message.startswith(
        "Failed to open a tunnel to port 22 of instance polls (us-east1-b, p): "
    )
    assert expected in refused.value.message
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    ("status", "expected"), [(401, "have expired"), (502, "Identity-Aware Proxy answered HTTP 502")]
)
def test_answers_that_are_no_websocket(run, status, expected):
    with pytest.raises(_iap.TunnelError, match=expected):
        run(_iap._RefusedError(status))


def test_a_token_that_was_revoked_is_made_anew(run, monkeypatch):
    asked = []

    def token(self, *, rejected=None):
        asked.append(rejected)
        return "new" if rejected else "old"

    monkeypatch.setattr(TokenSource, "token", token)
    run(_iap._RefusedError(401), Socket(connected(), _iap._ClosedError(1000, "")))
    assert asked == [None, "old"]


def test_a_proxy_that_is_not_there_is_said(run):
    with pytest.raises(
        _iap.TunnelError,
        match=r"cannot reach tunnel\.cloudproxy\.app \(.*\)\. Check the network, HTTPS_PROXY",
    ):
        run(ConnectionRefusedError(111, "Connection refused"))


def test_no_credentials(run, monkeypatch):
    def token(self, *, rejected=None):
        raise AuthError("there are none")

    monkeypatch.setattr(TokenSource, "token", token)
    with pytest.raises(AuthError):
        run(Socket())


def frames(*parts):
    """What a WebSocket reads of bytes; the bytes that it has sent."""

    class Writer:
        sent = b""

        def write(self, content):
            self.sent += content

    async def go():
        reader, writer, found = asyncio.StreamReader(), Writer(), []
        for part in parts:
            reader.feed_data(part)
        reader.feed_eof()
        socket = _iap._WebSocket(reader, writer)
        try:
            while True:
                found.append(await socket.read())
        except (_iap._BrokenError, _iap._ClosedError) as error:
            return [*found, str(error)], writer.sent

    return asyncio.run(go())


def test_frames_of_every_kind():
    long = b"x" * 300
    found, sent = frames(
        b"\x82\x03one",
        b"\x82\x7e" + len(long).to_bytes(2, "big") + long,
        b"\x82\x7f" + (70000).to_bytes(8, "big") + b"y" * 70000,
        b"\x02\x01a",
        b"\x89\x01?",
        b"\x80\x01b",
        b"\x88\x05\x0f\xa3why",
    )
    assert found == [b"one", long, b"y" * 70000, b"ab", "4003 why"]
    # A pong, masked: its length says so, and its content is what was asked.
    assert (sent[0], sent[1]) == (0x8A, 0x81)
    assert bytes([sent[6] ^ sent[2]]) == b"?"


@pytest.mark.parametrize("part", [b"\x82", b"\x82\x83abc", b"\x82\x7f" + (2**40).to_bytes(8, "big")])
def test_what_is_no_frame_is_a_connection_that_broke(part):
    found, _sent = frames(part)
    assert len(found) == 1


def test_what_is_sent_is_masked():
    class Writer:
        def write(self, content):
            self.sent = content

    for size in (5, 300, 70000):
        writer, content = Writer(), bytes(at % 251 for at in range(size))
        _iap._WebSocket(None, writer).write(content)
        start = {5: 2, 300: 4, 70000: 10}[size]
        assert writer.sent[1] & 0x80
        mask, masked = writer.sent[start : start + 4], writer.sent[start + 4 :]
        assert bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked)) == content
