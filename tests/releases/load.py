"""Visitors of the model site: pages, people who are logged in, log-ins and uploads, at a rate, whatever the answers take.

`Load` runs them in a process of its own, which a busy test does not slow. Each request is written down, and one that failed with its time, address,
status and first bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import json
import queue
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import requests
from PIL import Image
from requests.cookies import RequestsCookieJar

ROOT = Path(__file__).resolve().parents[2]
#: Seconds after which an answer counts as none. Slow is not failed.
PATIENCE = 60
#: How much of an answer that was not expected is kept, in characters.
_KEPT = 300
#: What is drawn how often, and how many requests it makes: of a hundred requests 92 for pages, 4 of members, 3 to log in and 1 upload.
_MIX = {"page": (92, 1), "member": (4, 1), "login": (1, 3), "upload": (1, 1)}
#: By path what has to be in an answer, beside status 200; of a page its end.
_PAGES = {
    "/-/live": '"ok"',
    "/-/ready": '"database": "ok"',
    "/": "Have a say. Have a look.",
    "/polls/": "<title>Polls</title>",
    "/gallery/": "<title>Gallery</title>",
}
_STYLE = "(the style sheet of the last page)"
#: How often each is drawn: a page brings its files.
_DRAWN = {"/-/live": 4, "/-/ready": 2, "/": 3, "/polls/": 3, "/gallery/": 2, _STYLE: 8}
_END = "</html>"
_STYLE_SHEET = re.compile(r'<link rel="stylesheet" href="([^"]+)"')
_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')
#: The pages of the settings overlay while the site is in maintenance, which they ask every visitor to come back.
_MAINTENANCE = "maintenance"


@dataclass(frozen=True)
class Asked:
    """A request: when it was due (seconds since 1970), how long its answer took after that, and what came. ``failure`` is empty, ``maintenance``, or says
    what was wrong; then ``begin`` are the first characters of the answer."""

    due: float
    seconds: float
    kind: str
    url: str
    status: int
    failure: str = ""
    begin: str = ""

    @property
    def failed(self) -> bool:
        """Whether it is nothing that a visitor would get of the site as it is."""
        return self.failure not in ("", _MAINTENANCE)

    @property
    def in_maintenance(self) -> bool:
        """Whether it was answered 503 with Retry-After, by the page for maintenance."""
        return self.failure == _MAINTENANCE


@dataclass(frozen=True)
class Plan:
    """What a load asks: ``accounts`` as pairs of e-mail address and password, ``rate`` in requests per second, ``proxy`` and ``ca`` as requests takes them."""

    url: str
    proxy: str
    ca: str
    accounts: list[tuple[str, str]]
    rate: float
    seed: int
    log: str


class WrongAnswerError(Exception):
    """Not what the site answers. ``answer`` is what came."""

    def __init__(self, message: str, answer: requests.Response) -> None:
        super().__init__(message)
        self.answer = answer


class MaintenanceError(Exception):
    """A visitor was asked to come back."""


@dataclass
class Member:
    """Somebody who is logged in, and does one thing at a time."""

    email: str
    cookies: RequestsCookieJar = field(default_factory=RequestsCookieJar)


class Visitors:
    """The load as it runs in its process."""

    def __init__(self, plan: Plan, log: IO[str]) -> None:
        self._plan = plan
        self._log = log
        self._log_lock = threading.Lock()
        self._draw = random.Random(plan.seed)
        self._connections: queue.LifoQueue[requests.Session] = queue.LifoQueue()
        self._members: queue.Queue[Member] = queue.Queue()
        self._threads: list[threading.Thread] = []
        self._work: queue.SimpleQueue[tuple[str, float] | None] = queue.SimpleQueue()
        self._idle = 0
        self._idle_lock = threading.Lock()
        self._style = ""
        self._numbers = itertools.count(1)
        picture = io.BytesIO()
        Image.new("RGB", (32, 32), "teal").save(picture, "PNG")
        self._picture = picture.getvalue()

    def prepare(self) -> None:
        """Logs everybody in and looks at one page, so that the load begins at its rate. Raises what goes wrong."""
        for email, password in self._plan.accounts:
            self._members.put(self._log_in(time.time(), email, password))
        self._page(time.time(), "/")

    def run(self, ended: threading.Event) -> None:
        """Until ``ended``, and until the last answer."""
        kinds, weights = zip(*((kind, weight) for kind, (weight, _) in _MIX.items()), strict=True)
        # Of a log-in only the first request has a time at which it is due.
        per_second = self._plan.rate * sum(weights) / sum(weight * count for weight, count in _MIX.values())
        began = time.time()
        for number in itertools.count():
            due = began + number / per_second
            if ended.wait(max(0.0, due - time.time())):
                break
            self._hand_out(self._draw.choices(kinds, weights)[0], due)
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()

    def _hand_out(self, kind: str, due: float) -> None:
        """To somebody who has nothing to do, or to somebody new."""
        with self._idle_lock:
            is_somebody_idle = self._idle > 0
            self._idle -= is_somebody_idle
        self._work.put((kind, due))
        if not is_somebody_idle:
            thread = threading.Thread(target=self._visit)
            self._threads.append(thread)
            thread.start()

    def _visit(self) -> None:
        while (work := self._work.get()) is not None:
            kind, due = work
            with contextlib.suppress(requests.RequestException, WrongAnswerError, MaintenanceError):
                if kind == "page":
                    self._page(due, self._draw.choices(list(_DRAWN), list(_DRAWN.values()))[0])
                elif kind == "login":
                    self._log_in(due, *self._draw.choice(self._plan.accounts))
                else:
                    self._as_member(due, kind)
            with self._idle_lock:
                self._idle += 1

    # What visitors do ----------------------------------------------------------------------------------------------------

    def _page(self, due: float, path: str) -> None:
        if path == _STYLE:
            self._ask(due, "style", "GET", self._style, RequestsCookieJar(), self._is_style)
            return
        kind = "health" if path.startswith("/-/") else "page"
        page = self._ask(
            due, kind, "GET", self._plan.url + path, RequestsCookieJar(), self._shows(_PAGES[path])
        )
        if found := _STYLE_SHEET.search(page.text):
            self._style = found[1]

    def _log_in(self, due: float, email: str, password: str) -> Member:
        url = f"{self._plan.url}/accounts/login/"
        member = Member(email)
        form = self._ask(due, "login", "GET", url, member.cookies, self._shows("<title>Log in</title>"))
        found = _TOKEN.search(form.text)
        assert found is not None, form.text
        data = {"csrfmiddlewaretoken": found[1], "username": email, "password": password}
        self._ask(time.time(), "login", "POST", url, member.cookies, self._goes_to("/"), data=data)
        self._look(time.time(), "login", member)
        return member

    def _look(self, due: float, kind: str, member: Member) -> None:
        """Whether the site still knows somebody."""
        shows = self._shows(f"Logged in as {member.email}")
        self._ask(due, kind, "GET", f"{self._plan.url}/gallery/upload/", member.cookies, shows)

    def _as_member(self, due: float, kind: str) -> None:
        member = self._members.get()
        try:
            if kind == "member":
                self._look(due, kind, member)
                return
            caption = f"{Path(self._plan.log).stem} {next(self._numbers)}"
            self._ask(
                due,
                f"upload {caption}",
                "POST",
                f"{self._plan.url}/gallery/upload/",
                member.cookies,
                self._goes_to("/gallery/"),
                data={"caption": caption},
                files={"images": ("teal.png", self._picture, "image/png")},
                headers={"X-CSRFToken": member.cookies["csrftoken"]},
            )
        finally:
            self._members.put(member)

    # What is expected ----------------------------------------------------------------------------------------------------

    @staticmethod
    def _shows(text: str) -> Callable[[requests.Response], str]:
        def wrong(answer: requests.Response) -> str:
            if answer.status_code != requests.codes.ok:
                return f"status {answer.status_code}"
            if text not in answer.text:
                return f"without {text!r}"
            is_page = "html" in answer.headers["Content-Type"]
            return "cut off" if is_page and _END not in answer.text else ""

        return wrong

    @staticmethod
    def _goes_to(path: str) -> Callable[[requests.Response], str]:
        def wrong(answer: requests.Response) -> str:
            if answer.status_code != requests.codes.found:
                return f"status {answer.status_code}"
            place = answer.headers.get("Location", "")
            return "" if place == path else f"goes to {place!r} and not to {path}"

        return wrong

    @staticmethod
    def _is_style(answer: requests.Response) -> str:
        if answer.status_code != requests.codes.ok:
            return f"status {answer.status_code}"
        return "" if "text/css" in answer.headers["Content-Type"] and answer.text else "no style sheet"

    def _ask(
        self,
        due: float,
        kind: str,
        method: str,
        url: str,
        cookies: RequestsCookieJar,
        wrong: Callable[[requests.Response], str],
        **request: Any,
    ) -> requests.Response:
        """Asks, and writes down what came. ``cookies`` are sent, and become what the answer says."""
        session = self._connection()
        # Connections are anybody's, cookies each visitor's.
        session.cookies = cookies
        headers = {"Referer": url, **request.pop("headers", {})}
        try:
            answer = session.request(
                method, url, headers=headers, timeout=PATIENCE, allow_redirects=False, **request
            )
        except requests.RequestException as error:
            self._note(due, kind, url, 0, "no answer", repr(error))
            session.close()
            raise
        self._connections.put(session)
        failure = wrong(answer)
        if (
            failure
            and answer.status_code == 503
            and "Retry-After" in answer.headers
            and "Maintenance" in answer.text
        ):
            self._note(due, kind, url, answer.status_code, _MAINTENANCE, "")
            raise MaintenanceError
        self._note(due, kind, url, answer.status_code, failure, answer.text[:_KEPT] if failure else "")
        if failure:
            raise WrongAnswerError(f"{url}: {failure}: {answer.text[:_KEPT]}", answer)
        return answer

    def _connection(self) -> requests.Session:
        """One that is kept and free, or a new one."""
        with contextlib.suppress(queue.Empty):
            return self._connections.get_nowait()
        session = requests.Session()
        session.trust_env = False
        session.proxies = {"https": self._plan.proxy}
        session.verify = self._plan.ca
        return session

    def _note(self, due: float, kind: str, url: str, status: int, failure: str, begin: str) -> None:
        asked = Asked(due, time.time() - due, kind, url, status, failure, begin)
        with self._log_lock:
            self._log.write(json.dumps(dataclasses.asdict(asked)) + "\n")


class Load:
    """The process with the load, from the moment in which everybody is logged in until its last answer."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        #: What was asked, as soon as the load has ended.
        self.asked: list[Asked] = []

    def __enter__(self) -> Load:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.releases.load"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(dataclasses.asdict(self._plan)) + "\n")
        self._process.stdin.flush()
        if self._process.stdout.readline() != "ready\n":
            self._process.wait()
            raise RuntimeError(f"nobody could log in to {self._plan.url} before anything was done to it")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate("\n", timeout=2 * PATIENCE + 30)
        assert self._process.returncode == 0
        lines = Path(self._plan.log).read_text("utf-8").splitlines()
        self.asked = [Asked(**json.loads(line)) for line in lines]


def failures(asked: Iterable[Asked]) -> Iterator[str]:
    """What failed, in words."""
    for one in asked:
        if one.failed:
            at = time.strftime("%H:%M:%S", time.gmtime(one.due))
            yield f"{at} {one.kind} {one.url} after {one.seconds:.1f} s: {one.failure}: {one.begin}"


def main() -> None:
    """Reads a plan, says that it is ready, and runs until something more is read."""
    fields = json.loads(sys.stdin.readline())
    plan = Plan(**{**fields, "accounts": [tuple(account) for account in fields["accounts"]]})
    ended = threading.Event()
    with Path(plan.log).open("a", buffering=1, encoding="utf-8") as log:
        visitors = Visitors(plan, log)
        visitors.prepare()
        # That is not at the load's rate.
        log.truncate(0)
        print("ready", flush=True)
        threading.Thread(target=lambda: (sys.stdin.readline(), ended.set()), daemon=True).start()
        visitors.run(ended)


if __name__ == "__main__":
    main()
