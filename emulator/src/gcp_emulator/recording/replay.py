"""Recorded conversations sent again, and how the answers differ from Google's.

An exchange agrees when the status is the recorded one, every recorded field is there, and no value differs. What an answer has beyond the
recording is no difference, because recorders leave fields out. Placeholders that are not known yet are learnt from the first answer that
has something in their place; until then a name of the conversation's own is sent for them, which an answer may give back. So a folder and
its parent, which are both ``${folderID}``, agree.
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from gcp_emulator.recording.form import CONSTANT, PLACEHOLDER, Conversation, Exchange

Send = Callable[[str, str, Any], Awaitable[tuple[int, Any]]]
"""Given method, address and body (None for none), the status and the answer (None for none, else JSON or ``{"__text__": ...}``)."""

#: Fields whose values are nobody's to predict: only that they are there is compared.
_VOLATILE = frozenset(
    (
        "etag",
        "fingerprint",
        "generation",
        "metageneration",
        "observedGeneration",
        "settingsVersion",
        "databaseInstalledVersion",
        "maintenanceVersion",
        "upgradableDatabaseVersions",
        "gceZone",
        "certSerialNumber",
        "startTime",
        "uid",
        # Numbers that Google gives, for which recorders put the placeholder of the resource's name.
        "targetId",
        "selfLinkWithId",
        "sourceDiskId",
        "sourceImageId",
        "sourceSnapshotId",
    )
)
#: Fields over which recorders write a value that is not Google's: where it is recorded, any value will do.
#: https://github.com/GoogleCloudPlatform/k8s-config-connector/blob/master/tests/e2e/normalize_legacy.go
_WRITTEN_OVER: dict[str, Any] = {"host": "", "authorizedNetworks": []}
#: Lists to which Google adds in the course of years (regions, platforms): what is recorded has to be there.
_GROWING = frozenset(("subnetworks", "availableCpuPlatforms"))
#: What guards an update against somebody else's: sent with the value that the resource has now.
_GUARDS = ("etag", "fingerprint", "labelFingerprint", "settingsVersion")
_NETWORK = re.compile(r"/global/networks/\$\{(\w+)\}$")
_OPERATION_SECONDS = 60.0


@dataclass(frozen=True)
class Outcome:
    """An exchange of a conversation, and how the answer differs: one line each."""

    conversation: str
    exchange: Exchange
    differences: list[str]


@dataclass
class Replay:
    """Sends conversations. ``values`` are the placeholders that are known before (``projectId``, ``projectNumber``), ``member`` is who sends."""

    send: Send
    values: dict[str, str]
    member: str
    _known: dict[str, str] = field(default_factory=dict)
    _unique: str = ""
    #: Placeholders of several things -> the names that were sent for them.
    _names: dict[str, set[str]] = field(default_factory=dict)
    #: What each address answered last, for the guards of the next update of it.
    _seen: dict[str, Any] = field(default_factory=dict)

    async def run(self, conversation: Conversation, unique: str) -> list[Outcome]:
        """Sends the exchanges in order. ``unique`` stands for ``${uniqueId}``, another one for each conversation."""
        self._unique = unique
        self._known = {**self.values, "uniqueId": unique}
        self._known |= dict.fromkeys(_defaults(conversation), "default")
        self._known |= {name: self._fill(text) for name, text in _spelt_out(conversation).items()}
        self._seen = {}
        self._names = {}
        outcomes = []
        for exchange, numbers in zip(conversation.exchanges, _numbers(conversation), strict=True):
            for placeholder, number in numbers.items():
                name = self._stand_in(placeholder) + (f"-{number}" if number > 1 else "")
                self._known[placeholder] = name
                self._names.setdefault(placeholder, set()).add(name)
            if exchange.is_change:
                # Each change has an operation of its own.
                self._known = {
                    key: value for key, value in self._known.items() if "operation" not in key.lower()
                }
            self._known |= {name: self._fill(text) for name, text in _linked(exchange).items()}
            url = self._fill(exchange.url)
            status, answer = await self._answer(exchange, url)
            if isinstance(answer, dict) and status == 200:
                self._seen[_resource(url)] = answer
            outcomes.append(
                Outcome(conversation.name, exchange, list(self._differences(exchange, status, answer)))
            )
        return outcomes

    async def _answer(self, exchange: Exchange, url: str) -> tuple[int, Any]:
        body = (
            None
            if exchange.request is None
            else self._body(url, self._fill(self._told_apart(exchange.request)))
        )
        deadline = time.monotonic() + _OPERATION_SECONDS
        while True:
            status, answer = await self.send(exchange.method, url, body)
            if not _goes_on(exchange, status, answer) or time.monotonic() > deadline:
                return status, answer
            await asyncio.sleep(0.02)

    def _told_apart(self, request: Any) -> Any:
        """A request that names several things by the one placeholder that they share: each is meant."""
        text = json.dumps(request)
        for placeholder, names in self._names.items():
            mark = f"${{{placeholder}}}"
            if 1 < text.count(mark) <= len(names):
                for name in sorted(names):
                    text = text.replace(mark, name, 1)
        return json.loads(text)

    def _fill(self, value: Any) -> Any:
        """A recorded value with what its placeholders stand for."""
        if isinstance(value, dict):
            return {self._fill(key): self._fill(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._fill(one) for one in value]
        if isinstance(value, str):
            return PLACEHOLDER.sub(lambda found: self._known.get(found[1]) or self._stand_in(found[1]), value)
        return value

    def _stand_in(self, placeholder: str) -> str:
        """What is sent for a placeholder that is not known: a name that most resources may have, and no other conversation."""
        return f"{placeholder.lower().replace('_', '-')}-{self._unique}"

    def _body(self, url: str, body: Any) -> Any:
        """A body that is sent: its guards are today's, and who sends it stays the owner of the project."""
        body = copy.deepcopy(body)
        _renew(body, self._seen.get(_resource(url), {}))
        if urlsplit(url).path.endswith(":setIamPolicy") and "cloudresourcemanager." in url:
            owner = {"role": "roles/owner", "members": [self.member]}
            body.setdefault("policy", {}).setdefault("bindings", []).append(owner)
        return body

    def _differences(self, exchange: Exchange, status: int, answer: Any) -> Iterator[str]:
        if status != exchange.status:
            yield f"status {status} instead of {exchange.status}: {answer}"
            return
        recorded = exchange.response
        if (
            "IamPolicy" in exchange.url
            and "cloudresourcemanager." in exchange.url
            and isinstance(recorded, dict)
        ):
            # A project is made with grants of its own.
            recorded = {key: value for key, value in recorded.items() if key != "bindings"}
        yield from self._compare(recorded or {}, answer or {}, "")

    def _compare(self, recorded: Any, answer: Any, path: str) -> Iterator[str]:
        if isinstance(recorded, dict) and isinstance(answer, dict):
            for key, value in recorded.items():
                inner = f"{path}.{key}" if path else key
                if key not in answer:
                    yield f"{inner} is missing: {value!r}"
                elif key in _GROWING and isinstance(value, list) and isinstance(answer[key], list):
                    yield from (
                        f"{inner} lacks {one!r}" for one in value if not self._is_among(one, answer[key])
                    )
                elif key not in _VOLATILE and not (key in _WRITTEN_OVER and value == _WRITTEN_OVER[key]):
                    yield from self._compare(value, answer[key], inner)
        elif isinstance(recorded, list) and isinstance(answer, list) and len(recorded) == len(answer):
            for one, other in zip(recorded, answer, strict=True):
                yield from self._compare(one, other, f"{path}[]")
        elif isinstance(recorded, str) and isinstance(answer, str):
            if not self._is_text(recorded, answer):
                yield f"{path} is {answer!r} instead of {recorded!r}"
        elif recorded != answer:
            yield f"{path} is {answer!r} instead of {recorded!r}"

    def _is_among(self, recorded: Any, answers: list[Any]) -> bool:
        return any(not list(self._compare(recorded, one, "")) for one in answers)

    def _is_text(self, recorded: str, answer: str) -> bool:
        """Whether a text is the recorded one; learns what placeholders stand for."""
        if CONSTANT.fullmatch(recorded):
            return True
        # Recorders write the version of the address over, and that of an answer's own link, and leave it in the links to others.
        recorded = recorded.replace("/compute/beta/", "/compute/v1/")
        found = re.fullmatch(self._pattern(recorded), answer)
        learnt = found.groupdict() if found else {}
        self._known.update({name: text for name, text in learnt.items() if text != self._stand_in(name)})
        return found is not None

    def _pattern(self, recorded: str) -> str:
        named: set[str] = set()
        pattern = ""
        for number, part in enumerate(PLACEHOLDER.split(recorded)):
            if number % 2 == 0:
                pattern += _any_constants(part)
            elif part in self._known:
                meant = {self._known[part], self._stand_in(part), *self._names.get(part, ())}
                pattern += f"(?:{'|'.join(map(re.escape, sorted(meant)))})"
            elif part in named:
                pattern += f"(?P={part})"
            else:
                named.add(part)
                pattern += f'(?P<{part}>[^/"]+)'
        return pattern


def _any_constants(text: str) -> str:
    """The pattern of a text in which the recorder's constants stand for anything."""
    pattern, end = "", 0
    for found in CONSTANT.finditer(text):
        pattern += re.escape(text[end : found.start()]) + ".+"
        end = found.end()
    return pattern + re.escape(text[end:])


def _resource(url: str) -> str:
    """The address of what a call is about: without its query and its verb."""
    address = urlsplit(url)._replace(query="", fragment="").geturl()
    return re.sub(r"/setLabels$", "", re.sub(r":(get|set)IamPolicy$", ":IamPolicy", address))


def _spelt_out(conversation: Conversation) -> dict[str, str]:
    """Placeholders of addresses that the ``name`` in the answer spells out with others: ``jobs/${jobID}`` is ``jobs/a-${uniqueId}``."""
    found: dict[str, str] = {}
    for exchange in conversation.exchanges:
        address = urlsplit(exchange.url).path.split("/")[2:]  # without the version
        for name in _names(exchange.response):
            parts = name.split("/")
            differing = [
                (ours, theirs) for ours, theirs in zip(address, parts, strict=False) if ours != theirs
            ]
            if len(parts) == len(address) and len(differing) == 1:
                placeholder = PLACEHOLDER.fullmatch(differing[0][0])
                if placeholder and not PLACEHOLDER.fullmatch(differing[0][1]):
                    found.setdefault(placeholder[1], differing[0][1])
    return found


def _defaults(conversation: Conversation) -> Iterator[str]:
    """Placeholders of the network ``default``: a network that is there though the conversation has not made it."""
    made: set[str] = set()
    for exchange in conversation.exchanges:
        if exchange.is_change and isinstance(exchange.request, dict):
            made.add(str(exchange.request.get("name")))
        found = _NETWORK.search(urlsplit(exchange.url).path)
        if (
            found
            and exchange.method == "GET"
            and exchange.status == 200
            and found[0].rpartition("/")[2] not in made
        ):
            yield found[1]


def _numbers(conversation: Conversation) -> Iterator[dict[str, int]]:
    """For each exchange, which of the things it is about that share a placeholder: the first that was made, the second ... Only placeholders by which
    more than one thing was made are told. After one is deleted it is about the newest that is left."""
    made = Counter(
        found
        for exchange in conversation.exchanges
        if exchange.status == 200 and (found := _made_by(exchange))
    )
    shared = {placeholder for (_, placeholder), count in made.items() if count > 1}
    alive: dict[str, list[int]] = {placeholder: [] for placeholder in shared}
    count, current = dict.fromkeys(shared, 0), dict.fromkeys(shared, 1)
    for exchange in conversation.exchanges:
        last = PLACEHOLDER.fullmatch(urlsplit(exchange.url).path.rpartition("/")[2])
        about = last[1] if last and last[1] in shared else ""
        found = _made_by(exchange)
        if found and found[1] in shared:
            count[found[1]] += 1
            current[found[1]] = count[found[1]]
            alive[found[1]].append(count[found[1]])
        elif about and exchange.status == 404:
            current[about] = count[about] + 1
        elif about and alive[about] and current[about] not in alive[about]:
            current[about] = alive[about][-1]
        yield dict(current)
        if about and exchange.method == "DELETE" and current[about] in alive[about]:
            alive[about].remove(current[about])


def _made_by(exchange: Exchange) -> tuple[str, str] | None:
    """Where an exchange makes something, and the placeholder of its name."""
    if exchange.method != "POST" or not isinstance(exchange.request, dict):
        return None
    placeholder = PLACEHOLDER.fullmatch(str(exchange.request.get("name", "")))
    return (urlsplit(exchange.url).path, placeholder[1]) if placeholder else None


def _linked(exchange: Exchange) -> dict[str, str]:
    """Placeholders of an address that its answer spells out: ``urlMaps/${urlMapID}`` has the ``selfLink`` ``urlMaps/a-${uniqueId}``, or is not found by
    this path. Of two resources that share a placeholder each is so found."""
    answer = exchange.response if isinstance(exchange.response, dict) else {}
    error = answer.get("error")
    text = str(error.get("message", "") if isinstance(error, dict) else answer.get("selfLink", ""))
    address = urlsplit(exchange.url).path
    _, start, path = address.partition("/projects/")
    if not start or "/operations/" in path:
        return {}
    *parts, last = path.split("/")
    found = re.search(rf"projects/{re.escape('/'.join(parts))}/([^/'\"]+)(?=['\"]|$)", text)
    placeholder = PLACEHOLDER.fullmatch(last)
    return {placeholder[1]: found[1]} if placeholder and found and not PLACEHOLDER.fullmatch(found[1]) else {}


def _names(answer: Any) -> Iterator[str]:
    """Every ``name`` in an answer."""
    if isinstance(answer, dict):
        for key, value in answer.items():
            if key == "name" and isinstance(value, str):
                yield value
            else:
                yield from _names(value)


def _goes_on(exchange: Exchange, status: int, answer: Any) -> bool:
    """Whether an operation goes on whose end was recorded."""
    recorded = exchange.response
    if exchange.is_change or status != 200 or not isinstance(answer, dict) or not isinstance(recorded, dict):
        return False
    if recorded.get("status") == "DONE":
        return answer.get("status") in ("PENDING", "RUNNING")
    return "/operations/" in exchange.url and recorded.get("done") is True and answer.get("done") is not True


def _renew(body: Any, current: Any) -> None:
    """Replaces the guards that a body has by those of the resource as it was answered last, and leaves out those that are not known."""
    if not isinstance(body, dict):
        return
    for key in list(body):
        value = body[key]
        if isinstance(value, dict):
            _renew(value, current.get(key, current) if isinstance(current, dict) else {})
        elif key in _GUARDS:
            if isinstance(current, dict) and key in current:
                body[key] = current[key]
            else:
                del body[key]
