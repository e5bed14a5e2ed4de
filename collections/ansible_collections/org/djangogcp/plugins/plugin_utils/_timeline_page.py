# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: this file may change in any release.

"""A run as one HTML page that needs nothing else: no script, no file beside it, no network."""

from __future__ import annotations

import itertools
import typing as t
from html import escape
from pathlib import Path

from ansible_collections.org.djangogcp.plugins.plugin_utils._timeline import (
    Background,
    Link,
    Run,
    Step,
    backgrounds,
    critical_path,
    short_name,
    summarised,
)

_STYLE = Path(__file__).with_name("_timeline.css")
#: Share of the run below which a part of the critical path is put together with its neighbours.
_SHORT = 0.02
_LONGEST = 10
#: More of what a step did than this is folded away.
_UNFOLDED = 2
#: Counts of a recap, as people know them.
_RECAP = {
    "ok": "ok",
    "changed": "changed",
    "skipped": "skipped",
    "failures": "failed",
    "unreachable": "unreachable",
    "rescued": "rescued",
    "ignored": "ignored",
}


def page(run: Run) -> str:
    """The page of a run."""
    total = max([run.seconds, 0.001, *(step.end for step in run.steps)])
    meanwhile = backgrounds(run.steps)
    path = critical_path(run.steps)
    critical = {link.step for link in path}
    body = "".join(
        (
            _head(run),
            _reasons(run),
            _lanes(run, meanwhile, path, total),
            _path(summarised(path, total * _SHORT), total, several=len(run.hosts) > 1),
            _longest(run, critical),
            _everything(run, critical, total),
        )
    )
    title = f"{escape(run.playbook)}, {escape(run.date)}"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>\n{_STYLE.read_text(encoding='utf-8')}</style>\n</head>\n"
        f"<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )


def duration(seconds: float) -> str:
    """``0.04`` -> ``40 ms``, ``75.4`` -> ``1 min 15 s``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def _head(run: Run) -> str:
    verdict = (
        '<span class="badge failed">failed</span>'
        if run.failed
        else '<span class="badge ok">succeeded</span>'
    )
    mode = ' <span class="badge">check mode: nothing was changed</span>' if run.check_mode else ""
    recaps = []
    for host, counts in run.recap.items():
        told = ", ".join(f"{counts[name]} {word}" for name, word in _RECAP.items() if counts.get(name))
        recaps.append(f"<li><strong>{escape(host)}</strong> {told}</li>")
    return (
        f"<header>\n<h1>{escape(run.playbook)} {verdict}{mode}</h1>\n"
        f'<p class="lead">{escape(run.date)} UTC, took {duration(run.seconds)}</p>\n'
        f'<ul class="recap">{"".join(recaps)}</ul>\n</header>\n'
    )


def _reasons(run: Run) -> str:
    """Why hosts failed."""
    told = [
        f"<dt>{escape(host)}: {escape(short_name(step.name))}</dt><dd><pre>{escape(step.reason)}</pre></dd>\n"
        for host, step in run.reasons.items()
    ]
    if not told:
        return ""
    return (
        '<section aria-labelledby="reasons">\n<h2 id="reasons">Why it failed</h2>\n'
        f'<dl class="reasons">\n{"".join(told)}</dl>\n</section>\n'
    )


def _position(began: float, end: float, total: float) -> str:
    """A bar's place on the track. What took no time is still to be seen."""
    return f'style="left:{100 * began / total:.3f}%;width:max(2px,{100 * (end - began) / total:.3f}%)"'


def _kind(step: Step) -> str:
    """The class of a step's bar."""
    return "wait" if step.waited and step.outcome in ("ok", "changed") else step.outcome


def _lanes(run: Run, meanwhile: list[Background], path: list[Link], total: float) -> str:
    rows = [_lane("Critical path", "path", (_path_bar(link, total) for link in path))]
    for host in run.hosts:
        steps = [step for step in run.steps if step.host == host and step.ended is not None]
        rows.append(_lane(host, "host", (_step_bar(step, total) for step in steps)))
        rows.extend(
            _lane(one.name, "background", [_background_bar(one, total)])
            for one in meanwhile
            if one.host == host
        )
    return (
        '<section aria-labelledby="lanes">\n<h2 id="lanes">What ran when</h2>\n'
        '<p class="legend"><span class="key ok">unchanged</span> <span class="key changed">changed</span> '
        '<span class="key wait">waited</span> <span class="key background">went on by itself</span> '
        '<span class="key failed">failed</span> <span class="key path">critical path</span></p>\n'
        f'<div class="lanes">{"".join(rows)}{_axis(total)}</div>\n</section>\n'
    )


def _lane(name: str, kind: str, bars: t.Iterable[str]) -> str:
    return f'<div class="lane {kind}"><div class="label">{escape(name)}</div><div class="track">{"".join(bars)}</div></div>\n'


def _bar(kind: str, title: str, began: float, end: float, total: float) -> str:
    return f'<i class="bar {kind}" title="{escape(title)}, {duration(end - began)}" {_position(began, end, total)}></i>'


def _step_bar(step: Step, total: float) -> str:
    return _bar(_kind(step), step.name, step.began, step.end, total)


def _path_bar(link: Link, total: float) -> str:
    return _bar("path", link.name, link.began, link.end, total)


def _background_bar(background: Background, total: float) -> str:
    return _bar("background", background.name, background.began, background.end, total)


def _axis(total: float) -> str:
    step = next(
        size
        for power in itertools.count(-3)
        for size in (10.0**power, 2 * 10.0**power, 5 * 10.0**power)
        if total / size <= 8
    )
    marks = "".join(
        f'<span style="left:{100 * index * step / total:.3f}%">{index * step:g} s</span>'
        for index in range(int(total / step) + 1)
    )
    return f'<div class="lane axis" aria-hidden="true"><div class="label"></div><div class="track">{marks}</div></div>\n'


def _path(path: list[Link], total: float, *, several: bool) -> str:
    host_heading = '<th scope="col">Host</th>' if several else ""
    rows = []
    for link in path:
        host = f'<td data-label="Host">{escape(link.host)}</td>' if several else ""
        note = ' <span class="badge background">went on by itself</span>' if link.background else ""
        rows.append(
            f'<tr><th scope="row">{escape(link.name)}{note}</th>{host}'
            f'<td class="bars"><div class="track">{_path_bar(link, total)}</div></td>'
            f'<td class="number">{duration(link.seconds)}</td><td class="number share">{100 * link.seconds / total:.0f} %</td></tr>\n'
        )
    told = sum(link.seconds for link in path)
    return (
        '<section aria-labelledby="path">\n<h2 id="path">What decided how long it took</h2>\n'
        '<p class="lead">The critical path: unless one of these gets shorter, the run does not. '
        f"Between them Ansible itself took {duration(max(0.0, total - told))}.</p>\n"
        f'<table>\n<thead><tr><th scope="col">Step</th>{host_heading}<th scope="col" class="bars">When</th>'
        '<th scope="col" class="number">Took</th><th scope="col" class="number">Share</th></tr></thead>\n'
        f"<tbody>\n{''.join(rows)}</tbody>\n</table>\n</section>\n"
    )


def _longest(run: Run, critical: set[Step | None]) -> str:
    several = len(run.hosts) > 1
    rows = []
    for step in sorted(run.steps, key=lambda one: one.seconds, reverse=True)[:_LONGEST]:
        host = f'<td data-label="Host">{escape(step.host)}</td>' if several else ""
        waited = f" asked {step.attempts} times" if step.waited else ""
        rows.append(
            f'<tr><th scope="row">{escape(short_name(step.name))} <span class="quiet">{escape(step.role)}</span></th>{host}'
            f'<td data-label="Module">{escape(step.module.rpartition(".")[2])}</td>'
            f'<td data-label="Result"><span class="badge {step.outcome}">{escape(step.outcome)}</span>{waited}</td>'
            f'<td data-label="On the critical path">{"yes" if step in critical else "no"}</td>'
            f'<td class="number">{duration(step.seconds)}</td></tr>\n'
        )
    host_heading = '<th scope="col">Host</th>' if several else ""
    return (
        '<section aria-labelledby="longest">\n<h2 id="longest">The longest steps</h2>\n<table>\n<thead><tr>'
        f'<th scope="col">Step</th>{host_heading}<th scope="col">Module</th><th scope="col">Result</th>'
        '<th scope="col">Critical</th><th scope="col" class="number">Took</th></tr></thead>\n'
        f"<tbody>\n{''.join(rows)}</tbody>\n</table>\n</section>\n"
    )


def _everything(run: Run, critical: set[Step | None], total: float) -> str:
    shown = [step for step in run.steps if step.ended is not None and step.outcome != "skipped"]
    several = len(run.hosts) > 1
    groups = []
    for role, steps in itertools.groupby(shown, key=lambda step: step.role):
        rows = "".join(_row(step, critical, total, several=several) for step in steps)
        groups.append(
            f'<tbody>\n<tr class="group"><th colspan="3" scope="rowgroup">{escape(role or "play")}</th></tr>\n{rows}</tbody>\n'
        )
    skipped = sum(step.outcome == "skipped" for step in run.steps)
    left_out = f" {skipped} skipped ones are left out." if skipped else ""
    return (
        '<section aria-labelledby="everything">\n<h2 id="everything">Everything in order</h2>\n'
        f'<p class="lead">{len(shown)} steps.{left_out}</p>\n<table class="waterfall">\n'
        '<thead><tr><th scope="col">Step</th><th scope="col" class="bars">When</th><th scope="col" class="number">Took</th></tr></thead>\n'
        f"{''.join(groups)}</table>\n</section>\n"
    )


def _row(step: Step, critical: set[Step | None], total: float, *, several: bool) -> str:
    on_path = step in critical
    host = f' <span class="quiet">{escape(step.host)}</span>' if several else ""
    mark = '<span class="sr"> (on the critical path)</span>' if on_path else ""
    return (
        f'<tr class="{"critical" if on_path else ""}"><th scope="row">{escape(short_name(step.name))}{mark}{host}{_actions(step)}</th>'
        f'<td class="bars"><div class="track">{_step_bar(step, total)}</div></td>'
        f'<td class="number">{duration(step.seconds)}</td></tr>\n'
    )


def _actions(step: Step) -> str:
    """What a step did; a long list is folded away."""
    lines = "".join(f'<span class="action">{escape(action)}</span>' for action in step.actions)
    if len(step.actions) <= _UNFOLDED:
        return lines
    return f"<details><summary>{len(step.actions)} changes</summary>{lines}</details>"
