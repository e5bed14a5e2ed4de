# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What a deploy says at its end, of all its sites at once. Pure: facts come in, lines come out; no value of a secret is among them."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.org.djangogcp.plugins.module_utils._progress import elapsed

#: What of a site is changed by a first deploy is more than a person reads at the end of it.
_SHOWN_CHANGES = 12
#: How tasks of roles register what they did (docs/targets.md).
_RESULT = re.compile(r"djangogcp_out_\w+_result")


@dataclasses.dataclass(frozen=True)
class Site:
    """One site at the end of a deploy. What a run with tags did not find out is empty.

    Attributes:
        address: where it is reached.
        admin: the address of Django's admin.
        login: who logs in there.
        password_secret: the secret that holds the password.
        project: the project of that secret.
        revision: the name of what has the traffic.
        image: what that was made of, by digest.
        changed: what was done, or would be in check mode.
        preview: of what it is a preview, and until when, in words; empty for a site.
    """

    address: str = ""
    admin: str = ""
    login: str = ""
    password_secret: str = ""
    project: str = ""
    revision: str = ""
    image: str = ""
    changed: tuple[str, ...] = ()
    preview: str = ""

    @classmethod
    def from_facts(cls, facts: t.Mapping[str, t.Any]) -> Site:
        """Picks what the roles have handed over out of the variables of a host."""
        described = facts.get("djangogcp_out_site") or {}
        address = (facts.get("djangogcp_out_target") or {}).get("uri", "")
        candidate = facts.get("djangogcp_out_candidate") or {}
        preview = facts.get("djangogcp_out_preview")
        return cls(
            address=str(address),
            admin=f"{address}{described.get('admin_path')}"
            if address and described.get("admin_path")
            else "",
            login=str(described.get("login", "")),
            password_secret=str(described.get("password_secret", "")),
            project=str(described.get("project", "")),
            revision=str(candidate.get("name") or facts.get("djangogcp_out_serving") or ""),
            image=str((facts.get("djangogcp_out_app") or {}).get("image", "")),
            changed=tuple(_changes(facts)),
            preview=f"of {preview['site']}, until {preview['until']}" if preview else "",
        )


def _changes(facts: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    for name in facts:
        if _RESULT.fullmatch(name):
            result = facts[name]
            # A task with a loop has a result for each round.
            rounds = result.get("results", [result]) if isinstance(result, t.Mapping) else []
            for one in rounds:
                if one.get("changed"):
                    yield from map(str, one.get("actions") or ())
    # A command that has run as it is does not run again.
    for name, has_run in (facts.get("djangogcp_out_executed") or {}).items():
        if not has_run and name != "manage":
            yield f"run {name}"


def lines(
    sites: t.Mapping[str, Site],
    failed: t.Sequence[str],
    seconds: float,
    commands: t.Mapping[str, str],
    *,
    is_check: bool,
) -> list[str]:
    """The block.

    Args:
        sites: by host; those that came to the end.
        failed: the hosts that did not.
        seconds: how long all of it took.
        commands: what a person may type next, by the name of the playbook.
        is_check: whether nothing was changed, because it was a check.
    """
    found = []
    for host, site in sites.items():
        found.append(f"{host}: {site.address or 'no address yet'}")
        if site.preview:
            found.append(f"  preview   {site.preview}: then, or now, {commands['preview_absent']}")
        if site.revision and not is_check:
            found.append(f"  serves    {site.revision}")
        if site.image:
            found.append(f"  image     {site.image}")
        if site.admin:
            found.append(f"  admin     {site.admin} (log in as {site.login})")
            found.append(f"  password  {commands['password']}{_limit(sites, host)}")
            found.append(
                f"            or gcloud secrets versions access latest --secret={site.password_secret} --project={site.project}"
            )
        found += _told(site.changed, "would change" if is_check else "changed")
    found += [f"{host}: failed; the message above says why" for host in failed]
    several = f"{len(sites)} sites" if len(sites) != 1 else "one site"
    took = elapsed(seconds) if seconds >= 1 else "less than a second"
    found.append(f"{'Checked' if is_check else 'Deployed'} {several} in {took}.")
    found += [
        f"Next: {commands['status']}   (what serves, and what is not as declared)",
        f"      {commands['manage']} -e manage_command='check --deploy'   (any command of manage.py)",
    ]
    return found


def _limit(sites: t.Mapping[str, Site], host: str) -> str:
    return f" --limit {host}" if len(sites) > 1 else ""


def _told(changes: t.Sequence[str], verb: str) -> list[str]:
    if not changes:
        return [f"  {verb:<9} nothing"]
    shown = [*changes[:_SHOWN_CHANGES]]
    if len(changes) > _SHOWN_CHANGES:
        shown.append(f"and {len(changes) - _SHOWN_CHANGES} more")
    return [f"  {verb if not index else '':<9} {change}" for index, change in enumerate(shown)]


def as_stats(sites: t.Mapping[str, Site], seconds: float) -> dict[str, t.Any]:
    """The same as data, for a workflow of AWX and whoever else reads the statistics of a run."""
    return {
        host: {
            "address": site.address,
            "revision": site.revision,
            "image": site.image,
            "changed": list(site.changed),
            "seconds": round(seconds, 1),
            "password_secret": site.password_secret,
        }
        for host, site in sites.items()
    }
