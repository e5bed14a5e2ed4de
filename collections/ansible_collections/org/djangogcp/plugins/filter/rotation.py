# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rotation
author: The djangogcp contributors (@djangogcp)
version_added: 0.9.0
short_description: What a rotation replaces
description:
  - Private to the role release. Finds by the words of a person, or by what is due, which secrets are rotated, and what keeps them from it.
options:
  _input:
    description: The words, as a list or as one string with commas.
    type: raw
    required: true
  app:
    description: What serves was given, as its record tells.
    type: dict
    required: true
  found:
    description: The secrets of the site with their versions, as M(org.djangogcp.secretmanager_secrets_info) tells of them.
    type: list
    elements: dict
    required: true
  site:
    description: The name of the site.
    type: str
    required: true
  own:
    description: The names of the secrets that the team makes.
    type: list
    elements: str
    required: true
  days:
    description: After how many days what is due, by word.
    type: dict
    required: true
  fallback_days:
    description: For how many days the key before the one that signs is accepted.
    type: int
    required: true
  now:
    description: The time, in seconds since 1970.
    type: float
    required: true
"""

EXAMPLES = r"""
- name: Show what is due
  ansible.builtin.debug:
    msg: "{{ 'due' | org.djangogcp.rotation(app, found, 'polls', [], {'secret_key': 90}, 30, now().timestamp()) }}"
"""

RETURN = r"""
_value:
  description: >-
    C(words), what is rotated; C(problems), why it cannot be; C(notes), what is due and waits for the team; C(replaced), by the name of a secret
    that is generated the number of the version that serves; C(pinned), by the name of a secret of the team's the number of the version that is
    taken; C(fallback), the number of the key that is accepted beside the one that signs, empty for none.
  type: dict
  sample:
    words: [secret_key]
    problems: []
    notes: []
    replaced: {polls-secret-key: "1"}
    pinned: {}
    fallback: ""
"""

import datetime
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._rules import nearest, problem

Json = dict[str, t.Any]

#: Of the words, the secrets that a rotation makes a new version of; what SITE has before these are their names. The first one tells the age.
GENERATED = {
    "secret_key": ("secret-key",),
    "database_password": (
        "web-db-password",
        "migrator-db-password",
        "web-database-url",
        "migrator-database-url",
    ),
    "superuser_password": ("superuser-password",),
}
#: Takes the key before the one that signs out.
FALLBACK = "secret_key_fallback"
DUE = "due"


def words_of(asked: t.Any) -> list[str]:
    """The words that a person wrote, each once. YAML makes no list of what ``-e`` says."""
    words = asked.split(",") if isinstance(asked, str) else list(asked or [])
    return list(dict.fromkeys(word.strip() for word in map(str, words) if word.strip()))


def rotation(
    asked: t.Any,
    app: t.Mapping[str, t.Any],
    found: t.Sequence[t.Mapping[str, t.Any]],
    site: str,
    own: t.Sequence[str],
    days: t.Mapping[str, t.Any],
    fallback_days: t.Any,
    now: float,
) -> Json:
    """What is rotated. See DOCUMENTATION."""
    secrets = _Secrets(app, found, site)
    words = words_of(asked)
    known = [*GENERATED, FALLBACK, DUE, *own]
    problems = [
        problem(
            "rotate",
            word,
            f"{', '.join(GENERATED)}, {FALLBACK}, {DUE}, or the name of a secret of djangogcp_secrets ({', '.join(own) or 'there is none'})",
            nearest(word, known),
        )
        for word in words
        if word not in known
    ] or (
        []
        if words
        else [
            f"rotate is not set: expected {', '.join(GENERATED)}, {FALLBACK}, {DUE}, or the name of a secret."
        ]
    )
    due, notes = secrets.due(own, days, int(fallback_days), now) if DUE in words else ([], [])
    wanted = [word for word in dict.fromkeys([*words, *due]) if word != DUE and word in known]
    problems += [one for word in words if (one := secrets.hindrance(word, own))]
    names = [name for word in wanted for name in GENERATED.get(word, ())]
    fallback = secrets.fallback
    if FALLBACK in wanted:
        fallback = ""
    elif "secret_key" in wanted:
        fallback = secrets.served(f"{site}-secret-key")
    return {
        "words": wanted,
        "problems": problems,
        "notes": notes,
        "replaced": {f"{site}-{name}": secrets.served(f"{site}-{name}") for name in names},
        "pinned": {name: secrets.newest(name) for name in wanted if name in own},
        "fallback": fallback,
    }


class _Secrets:
    """The secrets of a site: what serves reads, and what there is."""

    def __init__(
        self, app: t.Mapping[str, t.Any], found: t.Sequence[t.Mapping[str, t.Any]], site: str
    ) -> None:
        self._app = app
        self._site = site
        self._versions = {secret["name"]: secret["versions"] for secret in found}

    def served(self, name: str) -> str:
        """The number of the version of a secret that serves; "" for none."""
        return str((self._app.get("secret_versions") or {}).get(name, ""))

    def _named(self, word: str) -> str:
        """The secret that a word stands for; of several the one that tells the age."""
        return f"{self._site}-{GENERATED[word][0]}" if word in GENERATED else word

    def newest(self, name: str) -> str:
        """The number of the newest version that is enabled; "" for none."""
        enabled = [int(one["version"]) for one in self._versions.get(name, []) if one["state"] == "ENABLED"]
        return str(max(enabled)) if enabled else ""

    @property
    def fallback(self) -> str:
        """The number of the key that what serves accepts beside the one that signs; "" for none."""
        reference = str((self._app.get("secrets") or {}).get("SECRET_KEY_FALLBACKS", ""))
        name, _colon, number = reference.partition(":")
        return number if name == f"{self._site}-secret-key" else ""

    def age(self, name: str, now: float) -> float | None:
        """For how many days the version that serves has been there; None if it is not known."""
        number = self.served(name)
        for one in self._versions.get(name, []):
            if one["version"] == number and one["create_time"]:
                made = datetime.datetime.fromisoformat(one["create_time"])
                return (now - made.timestamp()) / 86400
        return None

    def hindrance(self, word: str, own: t.Sequence[str]) -> str:
        """Why a known word asks for what cannot be done; "" if nothing does."""
        if word == FALLBACK and not self.fallback:
            return f"rotate is {FALLBACK}: what serves accepts no key beside the one that signs."
        if word in GENERATED and not self.served(self._named(word)):
            return f"rotate is {word}: what serves was given no such secret."
        commands = [command["name"] for command in self._app.get("commands") or ()]
        if word == "superuser_password" and commands and "superuser" not in commands:
            return f"rotate is {word}: superuser, which gives it to the user, is not among djangogcp_release_commands."
        if word not in own:
            return ""
        if not self.served(word):
            return f"rotate is {word}: what serves does not read it yet. Deploy, which gives it its newest version."
        if not self._is_newer(word):
            return (
                f"rotate is {word}: what serves reads version {self.served(word)}, and there is no newer one that is enabled. Its value is"
                f" yours: add one, with its value as standard input: gcloud secrets versions add {word} --data-file=-"
            )
        return ""

    def _is_newer(self, name: str) -> bool:
        return int(self.newest(name) or 0) > int(self.served(name) or 0)

    def due(
        self, own: t.Sequence[str], days: t.Mapping[str, t.Any], fallback_days: int, now: float
    ) -> tuple[list[str], list[str]]:
        """The words that are due, and what is due and waits for the team."""
        words, notes = [], []
        for word, after in days.items():
            age = self.age(self._named(word), now)
            if word in own and self.served(word) and self._is_newer(word):
                words.append(word)
            elif age is None or age < int(after):
                continue
            elif word in own:
                notes.append(
                    f"{word} is {int(age)} days old (djangogcp_rotation_days: {after}), and only the team knows another value. Add a version:"
                    f" gcloud secrets versions add {word} --data-file=-"
                )
            else:
                words.append(word)
        key_age = self.age(self._named("secret_key"), now)
        if "secret_key" not in words and self.fallback and key_age is not None and key_age >= fallback_days:
            words.append(FALLBACK)
        return words, notes


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"rotation": rotation}
