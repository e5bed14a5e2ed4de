"""What a service looks like: methods of the discovery document bound to coroutines."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeVar

from gcp_emulator.engine.context import Context
from gcp_emulator.engine.describe import Page, Section, View
from gcp_emulator.engine.discovery import Method
from gcp_emulator.engine.errors import ErrorStyle, Json, credentials_missing, invalid_argument
from gcp_emulator.engine.faults import Fault
from gcp_emulator.engine.identity import Identity
from gcp_emulator.engine.routes import Route
from gcp_emulator.engine.validate import is_number
from gcp_emulator.front.messages import Request, Response

Handler = Callable[["Call"], Coroutine[Any, Any, Json | Response]]
_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass
class Call:
    """One validated, authorised call of an API method.

    ``params`` holds the decoded path and typed query parameters (project numbers already turned into ids);
    ``body`` the normalised body ({} when the method takes none or on a media upload, where ``request`` is unread).
    """

    method: Method
    params: Json
    body: Json
    #: Who calls; None without credentials, for the services that answer such calls.
    identity: Identity | None
    request: Request
    context: Context
    upload: bool = False
    #: Names of body fields as the client sent them, also those that were dropped as output-only.
    raw_body: Json = field(default_factory=dict)

    @property
    def caller(self) -> Identity:
        """In whose name something is done; UNAUTHENTICATED for nobody."""
        if self.identity is None:
            raise credentials_missing()
        return self.identity

    def require(self, permission: str, resource: str) -> None:
        """A further permission that the method needs, for example ``iam.serviceAccounts.actAs``."""
        self.context.iam.require(self.identity, permission, resource)

    def page(
        self, items: list[Json], key: str, *, size_parameter: str = "pageSize", default: int = 100
    ) -> Json:
        """One page of ``items`` under ``key`` with ``nextPageToken`` when there are more (https://google.aip.dev/158)."""
        size = int(self.params.get(size_parameter) or default)
        if size < 0:
            raise invalid_argument("The page size must not be negative.", field=size_parameter)
        token = str(self.params.get("pageToken") or "0")
        if not is_number(token):
            raise invalid_argument("The page token is invalid.", field="pageToken")
        start = int(token)
        result: Json = {}
        if items[start : start + size]:
            result[key] = items[start : start + size]
        if start + size < len(items):
            result["nextPageToken"] = str(start + size)
        return result


def handles(*method_ids: str) -> Callable[[_F], _F]:
    """Marks a coroutine of a Service as the answer to these discovery method ids."""

    def mark(function: _F) -> _F:
        function.handled_methods = method_ids  # type: ignore[attr-defined]
        return function

    return mark


class Declared(Protocol):
    """Methods that follow from a declaration."""

    def handlers(self) -> dict[str, Handler]:
        """Method id -> what answers it."""


class Service:
    """One API. Subclasses set ``api`` and ``versions`` and define coroutines marked with :func:`handles`."""

    api: ClassVar[str]
    versions: ClassVar[tuple[str, ...]] = ("v1",)
    #: Further host names of the API, beside the document's rootUrl and its regional forms.
    hosts: ClassVar[tuple[str, ...]] = ()
    error_style: ClassVar[ErrorStyle] = "rpc"
    #: Whether a call without credentials may do what is granted to allUsers; elsewhere it is 401 whatever is granted. Handlers of
    #: methods without a permission in facts.yaml then ask for theirs with `Call.identity` None.
    answers_anonymous: ClassVar[bool] = False

    #: Projects of Google's that anybody may look into with the methods that need no permission.
    public_projects: ClassVar[frozenset[str]] = frozenset()

    #: Where the state page shows this service (see :meth:`describe`).
    page: ClassVar[Page | None] = None

    def __init__(self, context: Context) -> None:
        """Offers its ports, and looks up those of services before it; whatever takes time waits for :meth:`start`."""
        self.context = context

    def parts(self) -> Iterable[object]:
        """The objects whose coroutines marked with :func:`handles` answer methods: this one, unless it is made of several."""
        return (self,)

    def policies(self) -> Iterable[Declared]:
        """The types of resources that have a policy (`engine.policies.Policies`)."""
        return ()

    def tables(self) -> Iterable[Declared]:
        """The kinds of resources that are only stored (`engine.tables.Table`)."""
        return ()

    def handlers(self) -> dict[str, Handler]:
        """Method id -> what answers it."""
        found: dict[str, Handler] = {}
        for declared in (*self.policies(), *self.tables()):
            found |= declared.handlers()
        for part in self.parts():
            for name in dir(type(part)):
                for method_id in getattr(getattr(type(part), name), "handled_methods", ()):
                    found[method_id] = getattr(part, name)
        return found

    def canonical(self, path: dict[str, str]) -> dict[str, str]:
        """Path parameters with the API's own aliases resolved (``projects/-/serviceAccounts/ID``)."""
        return path

    def routes(self) -> Iterable[Route]:
        """The hosts and paths outside its discovery documents that this service answers."""
        return ()

    async def describe(self, view: View) -> Section | None:
        """What the state page shows of this service for ``page``; None when there is no such part."""
        return None

    def hidden(self) -> Iterable[bytes]:
        """What the state page must not show, also not where a program printed it."""
        return ()

    async def disturb(self, fault: Fault) -> None:
        """Called for a fault that does not concern one call alone (``database_restart``)."""

    async def start(self) -> None:
        """Called once after the store is open: bring back what was running."""

    async def stop(self) -> None:
        """Called before the store closes: end every process and task of this service."""
