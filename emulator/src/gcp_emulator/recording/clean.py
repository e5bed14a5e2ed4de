"""What is somebody's own in a recorded exchange, replaced by the placeholders and constants of `form`.

Two kinds of values are never kept: what is secret (tokens, keys, passwords, payloads of secrets, environments of containers, SQL, what programs
logged), and what names a person, a project, an organisation or a machine. Headers are never recorded at all. The rest - which fields there
are, their values, statuses, texts of errors - is what the recording is for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from gcp_emulator.recording.form import (
    ADDRESS,
    CERTIFICATE,
    ETAG,
    HIDDEN,
    HIDDEN_BYTES,
    NUMBER,
    PERSON,
    TIME,
    Exchange,
)

#: Hosts that hand out credentials, or serve what people deployed: nothing of them is an answer about Google's APIs.
_NOT_RECORDED = re.compile(
    r"(oauth2|www|sts|accounts|iamcredentials)\.(googleapis|google)\.com|metadata\.google\.internal|.*\.run\.app|.*\.pkg\.dev|.*\.appspot\.com"
)
#: Objects themselves, which may be anything.
_CONTENT = re.compile(r"/(upload|download|resumable)/|[?&](alt=media|uploadType=)|:access(\?|$)")
#: Fields whose value nobody may see, wherever they are.
_SECRET = re.compile(
    r"(?i)(.*password|.*passwordhash|.*secretkey|clientsecret|privatekey.*|.*privatekey|.*token|authorization|signedblob|signedjwt"
    r"|keystring|apikey|data|payload|sqlstatement|textpayload|jsonpayload|protopayload|httprequest|rows)"
)
_TIME = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_EMAIL = re.compile(r"\b[\w.+%-]+@(?!(?:[\w-]+\.)*(?:gserviceaccount|googleapis)\.com)[\w-]+(\.[\w-]+)+")
_IP = re.compile(
    r"\b(?!0\.0\.0\.0|127\.)(\d{1,3}\.){3}\d{1,3}\b(?!/)|\b(?:[0-9a-f]{1,4}:){4,7}[0-9a-f]{1,4}\b"
)
_CERTIFICATE = re.compile(r"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----\n?", re.DOTALL)
_NUMBER = re.compile(r"\b\d{21}\b")
_PROJECT_NUMBER = re.compile(r"""(?:projects/|"projectNumber": ?"|"project_number": ?"|service-)(\d{6,})""")
_OWNED = {
    "operationID": re.compile(r"(?<=/operations/)[\w.-]+"),
    "organizationID": re.compile(r"(?<=organizations/)\d+"),
    "folderID": re.compile(r"(?<=folders/)\d+"),
    "billingAccountID": re.compile(r"(?<=billingAccounts/)[0-9A-F-]+"),
}
_ETAGS = ("etag", "fingerprint", "labelFingerprint")


class Cleaner:
    """Makes exchanges fit to be shown.

    Args:
        project: the id of the project. Its number is found (`learn`).
        names: further texts that name something of the owner's, with the placeholder that stands for each.
    """

    def __init__(self, project: str, names: Iterable[tuple[str, str]] = ()) -> None:
        # The longest first, for one name may be a part of another.
        self._names = sorted([(project, "projectId"), *names], key=lambda one: -len(one[0]))
        self._numbers: set[str] = set()
        self._replaced = self._replacements()

    def is_recorded(self, url: str) -> bool:
        """Whether an exchange with this address is recorded at all."""
        parts = urlsplit(url)
        if _NOT_RECORDED.fullmatch(parts.hostname or "") or not (parts.hostname or "").endswith(
            ".googleapis.com"
        ):
            return False
        return _CONTENT.search(url) is None

    def learn(self, exchange: Exchange) -> None:
        """Finds the numbers of projects in an exchange, which `clean` replaces."""
        texts = f"{exchange.url}\n{json.dumps(exchange.request)}\n{json.dumps(exchange.response)}"
        self._numbers.update(_PROJECT_NUMBER.findall(texts))
        self._replaced = self._replacements()

    def clean(self, exchange: Exchange) -> Exchange:
        """The exchange without what is somebody's own."""
        return Exchange(
            exchange.method,
            self._url(exchange.url),
            exchange.status,
            self._value(exchange.request),
            self._value(exchange.response),
        )

    def _url(self, url: str) -> str:
        # Keys and tokens may stand in a query, too.
        url = re.sub(
            r"([?&](?:key|access_token|oauth_token|upload_id|pageToken|X-Goog-Signature)=)[^&]*",
            rf"\1{HIDDEN}",
            url,
        )
        return self._text(url)

    def _value(self, value: Any, key: str = "") -> Any:
        if value is None or isinstance(value, bool):
            return value
        if key and _SECRET.fullmatch(key) and value not in ("", [], {}):
            return _hidden(value, key)
        if key in _ETAGS and isinstance(value, str):
            return ETAG
        if isinstance(value, dict):
            # An environment variable of a container: its name says what it is, its value may be secret.
            if set(value) == {"name", "value"}:
                return {"name": self._value(value["name"]), "value": HIDDEN}
            return {self._text(name): self._value(one, name) for name, one in value.items()}
        if isinstance(value, list):
            return [self._value(one, key) for one in value]
        if isinstance(value, str):
            return self._text(value)
        return 0 if str(value) in self._numbers else value

    def _text(self, text: str) -> str:
        for pattern, replacement in self._replaced:
            text = pattern.sub(replacement, text)
        return text

    def _replacements(self) -> list[tuple[re.Pattern[str], str]]:
        """What is replaced in every text, and by what, in this order."""
        return [
            (_CERTIFICATE, CERTIFICATE),
            (_EMAIL, PERSON),
            *((pattern, f"${{{name}}}") for name, pattern in _OWNED.items()),
            *(
                (re.compile(rf"(?<![\w]){re.escape(name)}(?![\w])"), f"${{{place}}}")
                for name, place in self._names
            ),
            *((re.compile(rf"(?<!\d){number}(?!\d)"), "${projectNumber}") for number in self._numbers),
            (_TIME, TIME),
            (_IP, ADDRESS),
            (_NUMBER, NUMBER),
        ]


def _hidden(value: Any, key: str) -> Any:
    """The shape of a value that nobody may see."""
    if isinstance(value, dict):
        return {name: _hidden(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [_hidden(one, key) for one in value]
    return HIDDEN_BYTES if key == "data" else HIDDEN
