"""The one renderer of what services say of themselves."""

from __future__ import annotations

from gcp_emulator.console.pages import Pages
from gcp_emulator.engine.describe import (
    Badge,
    Code,
    Details,
    Filter,
    Group,
    Items,
    Link,
    Message,
    Moment,
    Panel,
    Quiet,
    Section,
    Share,
    Size,
    Table,
    Took,
)


def _render(section: Section, **values: object) -> str:
    known = {"path": "/things", "project": None, "kept": "", "choices": [], "problems": 0}
    return Pages({"/": "Overview", "/things": "Things"}).render(
        "section", section=section, **(known | values)
    )


def test_every_piece_is_shown_and_escaped() -> None:
    row = [
        ("name", " ", Badge("<ready>", "good")),
        Link("own", "/things/a"),
        Link("out", "http://x.localhost/"),
        (Code("a<b"), Quiet("quiet")),
        Message("broken"),
        Moment("2026-01-01T03:04:05Z"),
        Took(75.4),
        Size(51554),
        Share(40),
        Items(["one", Code("two")], lines=True),
        Details("2 variables", [Code("A"), (Code("B"), Quiet(" from there"))]),
        "",
    ]
    names = [f"c{number}" for number in range(len(row))]
    html = _render(Section("Things", [Group([Table("All", names, [row])], "none")]), kept="p")
    for text in (
        '<th scope="row">name <span class="badge good">&lt;ready&gt;</span></th>',
        '<a href="/things/a?project=p">own</a>',
        '<a href="http://x.localhost/">out</a>',
        '<code>a&lt;b</code><span class="quiet">quiet</span>',
        '<span class="message">broken</span>',
        '<time datetime="2026-01-01T03:04:05Z"',
        ">1 min 15 s</td>",
        ">50.3 KiB</td>",
        '40 %<svg class="bar good"',
        '<ul class="members"><li>one</li><li><code>two</code></li></ul>',
        "<summary>2 variables</summary>",
        'data-label="c11">\N{EN DASH}</td>',
    ):
        assert text in html, text


def test_a_panel_has_facts_messages_and_tables_under_its_title() -> None:
    tables = [Table("Left out", ("A",), []), Table("Told", ("A",), [], empty="Nothing yet")]
    panel = Panel("shop", [Badge("ready", "good")], "It failed", {"Region": "r"}, ["more"], tables)
    html = _render(Section("Things", [Group([panel], "none", "Services", "anchor", "a note")]))
    for text in (
        '<h2 id="anchor">Services</h2>',
        '<p class="quiet">a note</p>',
        '<h3 id="panel-1-1">shop</h3> <span class="badge good">ready</span>',
        '<p class="message">It failed</p>',
        "<dt>Region</dt><dd>r</dd>",
        '<p class="empty">Nothing yet</p>',
    ):
        assert text in html, text
    assert "Left out" not in html
    assert "none" not in html


def test_what_is_empty_says_so_and_a_part_leads_back() -> None:
    section = Section(
        "b",
        [Group([Table("t", ("A",), [])], "none")],
        "lead",
        Link("Things", "/things"),
        Filter("Start", "prefix", 'a"b'),
    )
    html = _render(section)
    assert '<p class="empty">none</p>' in html
    assert '<p class="crumb"><a href="/things">Things</a></p>' in html
    assert 'name="prefix" value="a&#34;b"' in html
    assert "<title>b " in html
    assert "<title>Things " in _render(Section("Who has things", []))
