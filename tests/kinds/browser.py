"""Visitors of the sites, each in a browser that has never been there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Request, Response, Route

from tests.kinds.conftest import Sites

#: How wide the form is on the log-in page of Django's admin, and how wide its style sheet makes it: 28 times 14 pixels.
LOGIN_WIDTH = "getComputedStyle(document.querySelector('#container')).width"
STYLED_WIDTH = "392px"


@contextmanager
def visitor(chromium: Browser, sites: Sites, name: str) -> Iterator[BrowserContext]:
    """A browser's context at the address of a site; AssertionError at the end with each of what it complained about.

    Those are errors and warnings of its console, exceptions of scripts, and requests that failed or were refused, but not those that the browser gave
    up because it went to another page. What lies on other people's servers, such as pictures of Gravatar, is not fetched, and nobody complains.
    """
    context = chromium.new_context(base_url=sites.rehearsal.browser_url(name))
    complaints: list[str] = []
    waiting: list[Route] = []

    def leave(route: Route) -> None:
        # A script that asks, as for a new version, waits for the answer, because it would complain itself.
        if route.request.resource_type in ("fetch", "xhr"):
            waiting.append(route)
        else:
            route.abort()

    def console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not _is_elsewhere(message.location["url"]):
            complaints.append(f"{message.type}: {message.text} ({message.page.url if message.page else ''})")

    def failed(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED" and not _is_elsewhere(request.url):
            complaints.append(f"{request.failure}: {request.url}")

    def answered(response: Response) -> None:
        if response.status >= 400:
            complaints.append(f"{response.status}: {response.url}")

    context.route(_is_elsewhere, leave)
    context.on("console", console)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("requestfailed", failed)
    context.on("response", answered)
    try:
        yield context
    finally:
        found = "\n".join(complaints)
        for route in waiting:
            route.abort()
        context.close()
    assert not found, found


def _is_elsewhere(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    return bool(host) and not host.endswith("localhost")
