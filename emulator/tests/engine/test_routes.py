"""Declared hosts and paths: which of several routes answers."""

from __future__ import annotations

import pytest
from gcp_emulator.engine.routes import Route, Routes
from gcp_emulator.front.messages import Headers, Request, Response

STORAGE = "storage.googleapis.com"


async def _serve(request: Request) -> Response:
    return Response(200)


def _request(host: str, path: str, verb: str = "GET") -> Request:
    return Request(verb, "https", host, path, "", Headers([]))


def _found(routes: Routes, host: str, path: str) -> str | None:
    found = routes.find(_request(host, path))
    return None if found is None else found[0].method_of(_request(host, path))


@pytest.fixture
def routes() -> Routes:
    return Routes(
        [
            Route(STORAGE, serve=_serve, method="any"),
            Route(STORAGE, "/storage/*"),
            Route(STORAGE, "/upload/{}/o", _serve, "upload"),
            Route(STORAGE, "/{}.logs.example/log-{}.txt", _serve, "log"),
            Route("*.run.app", serve=_serve, method="site"),
            Route("special.run.app", "/x*", _serve, "special"),
            Route("first.run.app", serve=_serve, method="first", priority=1),
            Route("first.run.app", "/x", _serve, "exact"),
        ]
    )


@pytest.mark.parametrize(
    ("host", "path", "method"),
    [
        (STORAGE, "/bucket/object", "any"),
        (STORAGE, "/", "any"),
        (STORAGE, "/line\nbreak", "any"),
        (STORAGE, "/storage/v1/b", None),
        (STORAGE, "/upload/b/o", "upload"),
        (STORAGE, "/upload/b/c/o", "any"),
        (STORAGE, "/7.logs.example/log-1.txt", "log"),
        (STORAGE, "/7xlogs.example/log-1.txt", "any"),
        ("a.b.run.app", "/x", "site"),
        ("run.app", "/x", None),
        ("special.run.app", "/xy", "special"),
        ("special.run.app", "/y", "site"),
        ("first.run.app", "/x", "first"),
        ("other.googleapis.com", "/", None),
    ],
)
def test_the_closest_route_answers(routes: Routes, host: str, path: str, method: str | None) -> None:
    assert _found(routes, host, path) == method


def test_a_method_may_depend_on_the_request() -> None:
    routes = Routes([Route(STORAGE, serve=_serve, method=lambda request: f"verb.{request.method}")])
    assert _found(routes, STORAGE, "/x") == "verb.GET"
    assert routes.methods == frozenset()


def test_the_names_of_methods_are_known() -> None:
    assert Routes([Route(STORAGE, "/a", _serve, "a"), Route(STORAGE, "/b", _serve)]).methods == {"a"}


def test_two_routes_for_the_same_requests_are_refused() -> None:
    with pytest.raises(ValueError, match=r"more than one service answers a\.example/x"):
        Routes([Route("a.example", "/x", _serve), Route("a.example", "/x", _serve), Route("a.example", "/y")])
