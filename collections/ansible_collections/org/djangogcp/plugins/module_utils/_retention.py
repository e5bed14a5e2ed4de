# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""What of a site may be deleted: releases, revisions, images and static files that nothing refers to any more. Pure."""

from __future__ import annotations

import datetime
import typing as t

Json = dict[str, t.Any]

#: What this collection tags its images with (`_builds.Image.of_source`). A tag of somebody's own is a reason to stay.
_BUILT = "source-"
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


class Releases(t.NamedTuple):
    """What becomes of the releases of a site.

    Attributes:
        kept: the numbers of those that can be gone back to, the newest first.
        first: the number of the first record that stays; 0 if all do.
        going: the numbers of the records that go, the newest first.
    """

    kept: list[int]
    first: int
    going: list[int]


def code_of(record: Json) -> int:
    """The number of the release whose code a release has: its own, but for a rotation and for a rollback."""
    return int(record.get("rotation_of") or record.get("rollback_of") or record["number"])


def seconds(text: str) -> float:
    """A time of Google's or of a record (RFC 3339) in seconds since the epoch. Digits beyond microseconds do not count.

    Raises:
        ValueError: it is none.
    """
    whole, _dot, rest = text.rstrip("Z").partition(".")
    at = datetime.datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.UTC)
    return at.timestamp() + (float(f"0.{rest}") if rest else 0.0)


def kept_releases(
    records: t.Iterable[Json], serving: t.Collection[int], keep_releases: int, before: float
) -> Releases:
    """Which releases stay.

    Kept is what serves or has a part of the traffic, with the release that a rollback without a number goes back to; the newest ones, of
    which a rotation and a rollback are no further ones; what had traffic until a moment ago, since pages of it are still open; and what
    stopped, or has begun as a canary, as long. A record stays, too, as long as an older release is kept: a rollback reads in it what was
    done to the schema and to the secrets after that.

    Args:
        records: all records, each with its number.
        serving: the numbers of the releases that have traffic.
        keep_releases: how many different releases are kept whatever their age.
        before: what has had no traffic since then, in seconds since the epoch, may go.
    """
    newest_first = sorted(records, key=lambda record: int(record["number"]), reverse=True)
    kept = {int(number) for number in serving}
    codes = {code_of(record) for record in newest_first if record["number"] in kept}
    counted: list[int] = []
    until = float("inf")
    for record in newest_first:
        number, ended = int(record["number"]), seconds(str(record["ended"]))
        if record["result"] != "released":
            if ended >= before:
                kept.add(number)
            continue
        code = code_of(record)
        if code not in counted:
            counted.append(code)
        if counted.index(code) < keep_releases or until >= before:
            kept.add(number)
        until = ended
    released = [int(record["number"]) for record in newest_first if record["result"] == "released"]
    for code in codes:
        kept.update([number for number in released if number < code][:1])
    first = min(kept, default=0)
    going = [int(record["number"]) for record in newest_first if record["number"] < first]
    return Releases(sorted(kept, reverse=True), first, going)


def revisions_to_delete(
    revisions: t.Iterable[Json], kept: t.Collection[str], keep_newest: int, before: float
) -> list[Json]:
    """Which revisions of one service or worker pool go.

    Args:
        revisions: each as Cloud Run tells it, with ``name`` and ``createTime``.
        kept: the short names of those that have traffic, a tag or instances, are the newest, or belong to a kept release.
        keep_newest: so many of the newest stay.
        before: what was made since then, in seconds since the epoch, stays.
    """
    newest_first = sorted(revisions, key=lambda one: (seconds(one["createTime"]), one["name"]), reverse=True)
    return [
        one
        for one in newest_first[keep_newest:]
        if short(one["name"]) not in kept and seconds(one["createTime"]) < before
    ]


def images_to_delete(versions: t.Iterable[Json], used: t.Collection[str], before: float) -> list[Json]:
    """Which versions of an image go.

    Args:
        versions: each as Artifact Registry tells it with the view FULL.
        used: the addresses of images, by digest or by tag, that something refers to.
        before: what was pushed since then, in seconds since the epoch, stays.
    """
    ends = {end for address in used for end in (address.rpartition("@")[2], address.rpartition(":")[2])}
    newest_first = sorted(versions, key=lambda one: (seconds(one["updateTime"]), one["name"]), reverse=True)
    # The newest one is what the next build takes its layers from.
    return [
        one
        for one in newest_first[1:]
        if short(one["name"]) not in ends
        and not ends.intersection(tags_of(one))
        and all(tag.startswith(_BUILT) for tag in tags_of(one))
        and seconds(one["updateTime"]) < before
    ]


def files_to_delete(
    objects: t.Mapping[str, Json],
    lists: t.Mapping[str, t.Collection[str]],
    kept: t.Collection[str],
    before: float,
) -> list[Json]:
    """Which static files go: those that a list of a release names and no kept one does.

    Args:
        objects: what is in the bucket, by name, as Cloud Storage tells it.
        lists: by the name of a list the names of a release's files.
        kept: the names of the lists whose files stay.
        before: what was uploaded since then, in seconds since the epoch, stays.
    """
    needed = {file for name in kept for file in lists[name]}
    going = {file for files in lists.values() for file in files} - needed
    return [
        one
        for name, one in sorted(objects.items())
        if name in going and name not in lists and seconds(one["timeCreated"]) < before
    ]


def tags_of(version: Json) -> list[str]:
    """The tags of a version of an image."""
    return [short(tag["name"]) for tag in version.get("relatedTags") or []]


def short(name: str) -> str:
    """The last part of a resource's name."""
    return name.rpartition("/")[2]


def size(count: float) -> str:
    """A number of bytes for people, for instance "12.3 MB"."""
    number = float(count)
    for unit in _UNITS[:-1]:
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} {_UNITS[-1]}"
