"""``make bench``: every figure of the README in one table."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench import deploy, emulator, first, site, table

_GROUPS: dict[str, Callable[[Path], list[table.Row]]] = {
    "emulator": emulator.measure,
    "site": site.measure,
    "deploy": deploy.measure,
    "first": first.measure,
}


def main() -> int:
    """Measures what is asked for; the exit status is 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(_GROUPS)} (default: all)")
    parser.add_argument("--write", action="store_true", help="put the table into the README")
    parser.add_argument(
        "--sites", type=int, nargs="+", default=[], metavar="N", help="also N sites in one run (long)"
    )
    options = parser.parse_args()
    unknown = sorted(set(options.groups) - set(_GROUPS))
    if unknown:
        parser.error(f"no such group: {', '.join(unknown)}; there are: {', '.join(_GROUPS)}")
    if options.write and options.groups:
        parser.error("--write needs the whole table: name no groups")
    began_on = table.machine()
    rows: list[table.Row] = []
    # Not $TMPDIR of a deep checkout: paths of sockets have to be short.
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for name, measure in _GROUPS.items():
            if not options.groups or name in options.groups:
                print(f"measuring: {name}", file=sys.stderr, flush=True)
                rows += measure(Path(folder))
        for count in options.sites:
            rows += deploy.many_sites(Path(folder), count)
    print(f"{began_on}\n\n{table.plain(rows)}")
    if options.write:
        table.write(rows, began_on)
    return int(any(row.met is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
