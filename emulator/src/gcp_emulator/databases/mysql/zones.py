"""The time zones that MySQL knows by name: without them ``CONVERT_TZ`` returns NULL, and Django refuses to go on.

Written as ``mysql_tzinfo_to_sql`` does from this machine's zones (https://dev.mysql.com/doc/refman/8.4/en/time-zone-support.html; RFC 8536).
Google's page of flags has ``default_time_zone`` with names of zones, so Cloud SQL has them:
https://cloud.google.com/sql/docs/mysql/flags#timezone-names.
"""

from __future__ import annotations

import struct
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

#: Fewer bytes than a statement may have that a server is told at its start (MAX_BOOTSTRAP_QUERY_SIZE of its source is 20,000).
_ROWS = 250


@dataclass(frozen=True)
class _Zone:
    """Transitions are (second since 1970, number of the type), types (seconds east of Greenwich, 1 in summer, abbreviation)."""

    transitions: tuple[tuple[int, int], ...]
    types: tuple[tuple[int, int, str], ...]


def statements() -> Iterator[str]:
    """What fills the tables of a new server; each statement is one line."""
    numbers: dict[_Zone, int] = {}
    yield "START TRANSACTION"
    for name in sorted(zoneinfo.available_timezones()):
        zone = _read(name)
        if zone is None:
            continue
        is_new = zone not in numbers
        number = numbers.setdefault(zone, len(numbers) + 1)
        if is_new:
            kinds = enumerate(zone.types)
            yield from _inserts("time_zone", [f"({number}, 'N')"])
            yield from _inserts(
                "time_zone_transition_type",
                [
                    f"({number}, {kind}, {offset}, {summer}, '{text}')"
                    for kind, (offset, summer, text) in kinds
                ],
            )
            yield from _inserts(
                "time_zone_transition", [f"({number}, {when}, {kind})" for when, kind in zone.transitions]
            )
        yield from _inserts("time_zone_name", [f"('{name}', {number})"])
    yield "COMMIT"


def _inserts(table: str, rows: list[str]) -> Iterator[str]:
    for start in range(0, len(rows), _ROWS):
        values = ", ".join(rows[start : start + _ROWS])
        yield f"INSERT INTO mysql.{table} VALUES {values}"  # noqa: S608 - what this machine's zones are


def _read(name: str) -> _Zone | None:
    """A zone of this machine, or of the package tzdata; None for what is no zone."""
    content = next(
        (path.read_bytes() for path in (Path(root, name) for root in zoneinfo.TZPATH) if path.is_file()), None
    )
    if content is None:
        package, _, key = f"tzdata.zoneinfo.{name.replace('/', '.')}".rpartition(".")
        content = resources.files(package).joinpath(key).read_bytes()
    if content[:4] != b"TZif":
        return None
    if content[4:5] >= b"2":
        # The first block is of 32 bits, the second, which follows, of 64.
        counts, position = _header(content, 0)
        position += counts[3] * 5 + counts[4] * 6 + counts[5] + counts[2] * 8 + counts[1] + counts[0]
        return _block(content, position, "q")
    return _block(content, 0, "l")


def _header(content: bytes, position: int) -> tuple[tuple[int, ...], int]:
    """The six counts of a block (RFC 8536, 3.1), and where its data begin."""
    return struct.unpack_from("!6l", content, position + 20), position + 44


def _block(content: bytes, position: int, number: str) -> _Zone:
    (_, _, _, times, kinds, letters), position = _header(content, position)
    whens = struct.unpack_from(f"!{times}{number}", content, position)
    position += times * struct.calcsize(f"!{number}")
    chosen = content[position : position + times]
    position += times
    raw = [struct.unpack_from("!lBB", content, position + 6 * index) for index in range(kinds)]
    texts = content[position + 6 * kinds : position + 6 * kinds + letters]
    types = tuple(
        (offset, summer, texts[start : texts.index(b"\0", start)].decode()) for offset, summer, start in raw
    )
    return _Zone(tuple(zip(whens, chosen, strict=True)), types)
