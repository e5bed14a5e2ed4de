"""What services answer outside the discovery documents: declared hosts and paths, looked up in one table."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from gcp_emulator.engine.errors import ErrorStyle
from gcp_emulator.front.messages import Request, Response

Serve = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Route:
    """Requests for ``host`` and ``path``, and what answers them.

    ``host`` is a name, or ``*.run.app`` for every name below. ``path`` is one path, or with ``*`` at its end every path that
    begins so; ``{}`` in it is a string without a slash. Of several that fit, the one with the higher ``priority`` answers, then
    a name before a wildcard, then the one with more literal text.
    """

    host: str
    path: str = "*"
    #: None leaves the requests to the discovery documents, where a wider route would take them.
    serve: Serve | None = None
    #: What the list of requests and faults call them; without a name they are in neither.
    method: str | Callable[[Request], str] = ""
    priority: int = 0
    #: The form of the errors, which is that of the service.
    style: ErrorStyle = "rpc"

    @property
    def rank(self) -> tuple[int, bool, bool, int]:
        """The higher one answers."""
        exact = not self.path.endswith("*")
        return self.priority, not self.host.startswith("*."), exact, len(re.sub(r"\{\}|\*$", "", self.path))

    def method_of(self, request: Request) -> str:
        """The name of a request's method, "" when it has none."""
        return self.method if isinstance(self.method, str) else self.method(request)

    def is_for(self, host: str) -> bool:
        """Whether requests for this host can be the route's."""
        return host.endswith(self.host[1:]) if self.host.startswith("*.") else host == self.host

    @property
    def pattern(self) -> re.Pattern[str]:
        """Fits the paths of the route."""
        text = "[^/]+".join(re.escape(part) for part in self.path.removesuffix("*").split("{}"))
        return re.compile(text + (".*" if self.path.endswith("*") else ""), re.DOTALL)


class Routes:
    """All routes. ValueError when two of the same rank are for the same host and path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = sorted(routes, key=lambda route: route.rank, reverse=True)
        places = [(route.host, route.path, route.priority) for route in self._routes]
        if twice := sorted(
            {f"{host}{path}" for host, path, _ in places if places.count((host, path, _)) > 1}
        ):
            raise ValueError(f"more than one service answers {', '.join(twice)}")
        self._of_host = lru_cache(maxsize=256)(self._find)
        #: The names of methods that no discovery document has to have.
        self.methods = frozenset(one.method for one in self._routes if isinstance(one.method, str)) - {""}

    def find(self, request: Request) -> tuple[Route, Serve] | None:
        """The route and what answers, None when the discovery documents do."""
        for pattern, route in self._of_host(request.host):
            if pattern.fullmatch(request.path):
                return None if route.serve is None else (route, route.serve)
        return None

    def _find(self, host: str) -> list[tuple[re.Pattern[str], Route]]:
        return [(route.pattern, route) for route in self._routes if route.is_for(host)]
