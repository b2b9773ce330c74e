"""The table and the picture of what real servers have shown of the contender's machine."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from keepstep.errors import InvalidModel
from keepstep.exploration.ledger import Entry, Ledger, plain_name
from keepstep.testing.election.coverage import UNREACHABLE, Taken, all_transitions
from keepstep.tla.sources import Project
from keepstep.validation.recording import COMPOSITION
from keepstep.validation.validator import Edge

__all__ = [
    "Sight",
    "as_json",
    "edge_of",
    "edges_of",
    "environment_actions",
    "environment_sights",
    "mermaid",
    "page",
    "sights",
]

_PREFIX = "C!"
_LISTED = re.compile(r"\\/\s+(S!\w+)")


@dataclass(frozen=True, slots=True)
class Sight:
    """An edge of the machine, and what was seen of it.

    Attributes:
        edge: The edge.
        targets: The modes that it leads to.
        entry: What was seen; None if nothing was.
        reason: Why it cannot be seen, or "".
    """

    edge: Edge
    targets: tuple[str, ...]
    entry: Entry | None
    reason: str = ""

    @property
    def missing(self) -> bool:
        """It was not seen, though it can be."""
        return self.entry is None and not self.reason

    def __str__(self) -> str:
        return f"{plain_name(self.edge.label)} in {self.edge.mode}"


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


def edge_of(taken: Taken) -> Edge:
    """The edge of the specification that a transition of the class is."""
    return Edge(_PREFIX + _camel(taken.action), taken.before)


def edges_of(transitions: Mapping[Taken, int]) -> Counter[Edge]:
    """The edges of the specification that transitions of the class are, with how often."""
    found: Counter[Edge] = Counter()
    for taken, times in transitions.items():
        found[edge_of(taken)] += times
    return found


def sights(ledger: Ledger) -> list[Sight]:
    """Every edge of the machine, in the order of modes and actions."""
    entries = {
        (plain_name(edge.label), edge.mode): entry for edge, entry in ledger.entries().items()
    }
    targets: dict[tuple[str, str], set[str]] = {}
    reasons: dict[tuple[str, str], str] = {}
    for taken in all_transitions():
        key = (_camel(taken.action), taken.before)
        targets.setdefault(key, set()).add(taken.after)
        if taken in UNREACHABLE:
            reasons[key] = UNREACHABLE[taken]
    return [
        Sight(
            Edge(_PREFIX + name, mode),
            tuple(sorted(targets[name, mode])),
            entries.get((name, mode)),
            reasons.get((name, mode), ""),
        )
        for name, mode in sorted(targets, key=lambda key: (key[1], key[0]))
    ]


def environment_actions(project: Project) -> list[str]:
    """The actions of the environment that the composition lists.

    Raises:
        InvalidModel: The composition cannot be read.
    """
    file = project.root / COMPOSITION
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidModel(f"{COMPOSITION} cannot be read: {error.strerror}") from None
    return sorted(set(_LISTED.findall(text)))


def environment_sights(ledger: Ledger, actions: Iterable[str]) -> dict[str, Entry | None]:
    """What was seen of each action of the environment, whatever mode its node was in.

    A recording shows few of them: those that change data or sessions and that nobody asked
    for. Answers are seen by the action of the contender that they lead to.
    """
    found: dict[str, Entry | None] = dict.fromkeys(actions)
    for edge, entry in ledger.entries().items():
        if edge.label in found:
            earlier = found[edge.label]
            if earlier is None or earlier.times < entry.times:
                found[edge.label] = entry
    return found


# --- Data ---------------------------------------------------------------------------------


def _entry_json(entry: Entry | None) -> dict[str, Any]:
    if entry is None:
        return {"times": 0, "examples": 0, "runs": 0}
    return {
        "times": entry.times,
        "examples": entry.examples,
        "runs": entry.runs,
        "faults": dict(sorted(entry.faults.items())),
        "under": dict(sorted(entry.under.items())),
        "servers": dict(sorted(entry.servers.items())),
        "first": entry.first,
        "last": entry.last,
    }


def as_json(found: Iterable[Sight], environment: Mapping[str, Entry | None]) -> dict[str, Any]:
    """The table as JSON."""
    rows = list(found)
    return {
        "edges": [
            {
                "label": sight.edge.label,
                "mode": sight.edge.mode,
                "targets": list(sight.targets),
                **_entry_json(sight.entry),
                **({"cannot": sight.reason} if sight.reason else {}),
            }
            for sight in rows
        ],
        "environment": {name: _entry_json(entry) for name, entry in environment.items()},
        "missing": [str(sight) for sight in rows if sight.missing],
    }


# --- Pictures -----------------------------------------------------------------------------


def _arrows(found: Iterable[Sight]) -> Iterator[tuple[str, str, str]]:
    """From, to and what to write there; edges that stay in their mode are left out."""
    together: dict[tuple[str, str], list[str]] = {}
    for sight in found:
        for target in sight.targets:
            if target != sight.edge.mode:
                times = f"{sight.entry.times}" if sight.entry else "cannot be" * bool(sight.reason)
                text = f"{plain_name(sight.edge.label)} ({times or 'never'})"
                together.setdefault((sight.edge.mode, target), []).append(text)
    for (before, after), texts in sorted(together.items()):
        yield before, after, ", ".join(sorted(texts))


def mermaid(found: Iterable[Sight]) -> str:
    """The machine as a state diagram in Mermaid, with how often each edge was seen.

    A mode is green if each of its edges that can be seen was, amber if some were, red if none.
    """
    rows = list(found)
    lines = ["stateDiagram-v2", "    [*] --> offline"]
    lines += [f"    {before} --> {after} : {text}" for before, after, text in _arrows(rows)]
    lines += [
        "    classDef all fill:#c8e6c9,stroke:#2e7d32,color:#1b1b1b",
        "    classDef some fill:#ffe0b2,stroke:#ef6c00,color:#1b1b1b",
        "    classDef none fill:#ffcdd2,stroke:#c62828,color:#1b1b1b",
    ]
    lines += [f"    class {mode} {colour}" for mode, colour in sorted(_colours(rows).items())]
    return "\n".join(lines) + "\n"


def _colours(rows: Iterable[Sight]) -> dict[str, str]:
    by_mode: dict[str, list[bool]] = {}
    for sight in rows:
        if not sight.reason or sight.entry:
            by_mode.setdefault(sight.edge.mode, []).append(sight.entry is not None)
    return {
        mode: "all" if all(seen) else "some" if any(seen) else "none"
        for mode, seen in by_mode.items()
    }


_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em; color: #1b1b1b; background: #fff }
table { border-collapse: collapse } td, th { border: 1px solid #bbb; padding: 2px 6px }
th { font-weight: 600 } td { text-align: right } td.why { text-align: left }
.seen { background: #c8e6c9 } .few { background: #ffe0b2 } .never { background: #ffcdd2 }
.cannot { background: #eceff1; color: #555 } .none { background: #fafafa }
"""
_FEW = 10


def page(found: Iterable[Sight], environment: Mapping[str, Entry | None], about: str) -> str:
    """A page that needs nothing else: the machine as a table of modes and actions.

    Each field says how often the action was taken in the mode, and on hovering in how many
    runs, beside which faults, on which servers.
    """
    rows = list(found)
    modes = sorted({sight.edge.mode for sight in rows})
    actions = sorted({plain_name(sight.edge.label) for sight in rows})
    fields = {(plain_name(sight.edge.label), sight.edge.mode): sight for sight in rows}
    head = "".join(f"<th>{html.escape(mode)}</th>" for mode in modes)
    body = "".join(
        f"<tr><th>{html.escape(action)}</th>"
        + "".join(_field(fields.get((action, mode))) for mode in modes)
        + "</tr>\n"
        for action in actions
    )
    others = "".join(
        f'<tr><th>{html.escape(name)}</th><td class="{"seen" if entry else "none"}"'
        f' title="{html.escape(_told(entry))}">{entry.times if entry else ""}</td></tr>\n'
        for name, entry in environment.items()
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>What real servers have shown</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>What real servers have shown</h1>\n<p>{html.escape(about)}</p>\n"
        "<h2>The contender: actions in each mode</h2>\n"
        f"<table><tr><th></th>{head}</tr>\n{body}</table>\n"
        '<p><span class="seen">seen</span> <span class="few">seen fewer than ten times</span> '
        '<span class="never">never seen</span> <span class="cannot">cannot be seen</span>; '
        "an empty field is no edge of the machine.</p>\n"
        "<h2>The environment</h2>\n"
        "<p>A recording shows only what changes data or sessions though nobody asked.</p>\n"
        f"<table>\n{others}</table>\n</body></html>\n"
    )


def _field(sight: Sight | None) -> str:
    if sight is None:
        return '<td class="none"></td>'
    if sight.entry is None:
        kind = "cannot" if sight.reason else "never"
        return f'<td class="{kind}" title="{html.escape(sight.reason or "never seen")}">0</td>'
    kind = "few" if sight.entry.times < _FEW else "seen"
    return f'<td class="{kind}" title="{html.escape(_told(sight.entry))}">{sight.entry.times}</td>'


def _told(entry: Entry | None) -> str:
    """What was seen of an edge, in one line."""
    if entry is None:
        return "not seen by itself"
    faults = ", ".join(f"{kind} {count}" for kind, count in sorted(entry.faults.items()))
    under = ", ".join(f"{kind} {count}" for kind, count in sorted(entry.under.items()))
    servers = ", ".join(sorted(entry.servers))
    return (
        f"in {entry.examples} examples of {entry.runs} runs; on {servers}"
        + (f"; beside {faults}" if faults else "")
        + (f"; under {under}" if under else "")
        + f"; first {entry.first}, last {entry.last}"
    )
