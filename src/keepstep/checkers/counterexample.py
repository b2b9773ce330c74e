"""A counterexample as a person wants to read it.

A table of what changes in each step, a sequence diagram of requests and answers, both in the
terminal, as Mermaid text, and as one page of HTML that needs nothing else. Which variables
are requests and answers is told by the marks `@outbox` and `@inbox` in the modules.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from keepstep.checkers.outcome import Step, Trace
from keepstep.checkers.workspace import module_texts
from keepstep.errors import InternalError
from keepstep.tla.sources import Project, declared_variables
from keepstep.tla.values import ModelValue

if TYPE_CHECKING:
    from keepstep.checkers.run import Result

__all__ = ["Change", "Counterexample", "Event", "changes_between", "pretty"]

SERVER = "ZooKeeper"
COLUMN_WIDTH = 34
LABEL_WIDTH = 60
_OF_UNIT = "_OF_UNIT"
_SORTED_NAME = re.compile(r"(\w+)_OF_[A-Z][A-Z0-9_]*\Z")


# --- Values -----------------------------------------------------------------------------


def pretty(value: Any) -> str:
    """A value in few characters: variants as `Tag(value)`, `n1_OF_NODE` as `n1`, no quotes."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, str):
        found = _SORTED_NAME.match(str.__str__(value))
        return found[1] if found else str.__str__(value) or '""'
    if isinstance(value, (frozenset, set)):
        return "{" + ", ".join(sorted(map(pretty, value))) + "}"
    if isinstance(value, tuple):
        return "<" + ", ".join(map(pretty, value)) + ">"
    if isinstance(value, Mapping):
        return _pretty_mapping(value)
    return str(value)


def _is_unit(value: Any) -> bool:
    """Whether it is the value of the type that has one; Apalache's solver invents names for it."""
    return isinstance(value, str) and value.endswith(_OF_UNIT)


def _pretty_mapping(value: Mapping[Any, Any]) -> str:
    if set(value) == {"tag", "value"}:
        inner = value["value"]
        if inner == () or _is_unit(inner):
            return str(value["tag"])
        shown = pretty(inner)
        if isinstance(inner, Mapping) and "tag" not in inner:
            shown = shown[1:-1]
        return f"{value['tag']}({shown})"
    parts = [f"{pretty(key)}: {pretty(item)}" for key, item in value.items()]
    return "[" + ", ".join(parts) + "]" if parts else "[]"


@dataclass(frozen=True, slots=True)
class Change:
    """One place that changes in a step, with its value before and after."""

    place: str
    before: str
    after: str

    def __str__(self) -> str:
        if not self.before:
            return f"{self.place}: {self.after}"
        return f"{self.place}: {self.before} -> {self.after}"


def changes_between(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """What changes from one state to the next, each at the innermost place that changes."""
    found: list[Change] = []
    for name in after:
        found += _changes(name, before.get(name), after[name])
    return found


def _changes(place: str, before: Any, after: Any) -> Iterator[Change]:
    if before == after or (_is_unit(before) and _is_unit(after)):
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping) and set(before) == set(after):
        if "tag" not in after or (before["tag"] == after["tag"] and _is_unit(after["value"])):
            for key in after:
                inner = f"{place}[{pretty(key)}]"
                if isinstance(key, str) and not isinstance(key, ModelValue) and key.isidentifier():
                    inner = (
                        f"{place}[{pretty(key)}]" if _SORTED_NAME.match(key) else f"{place}.{key}"
                    )
                yield from _changes(inner, before[key], after[key])
            return
    elif isinstance(before, frozenset) and isinstance(after, frozenset):
        gone, new = before - after, after - before
        if len(before) > 1 or len(after) > 1:
            signs = [f"- {pretty(one)}" for one in gone] + [f"+ {pretty(one)}" for one in new]
            yield Change(place, "", ", ".join(sorted(signs)))
            return
    yield Change(place, pretty(before), pretty(after))


# --- The diagram ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the sequence diagram.

    Attributes:
        step: Number of the state that the step leads to.
        action: The action's name, as far as it is known.
        source: Who acts.
        target: Who is asked or answered; "" for a step that only `source` sees.
        label: What is asked or answered.
    """

    step: int
    action: str
    source: str
    target: str = ""
    label: str = ""


_MARK = re.compile(r"@(inbox|outbox)\b[^\n]*\n(?:[ \t]*\\\*[^\n]*\n)*[ \t]*([A-Za-z]\w*)")


def _ports(texts: Mapping[str, str]) -> tuple[set[str], set[str]]:
    """Names of the variables that hold answers, and of those that hold requests."""
    found: dict[str, set[str]] = {"inbox": set(), "outbox": set()}
    for text in texts.values():
        for mark in _MARK.finditer(text):
            found[mark[1]].add(mark[2])
    return found["inbox"], found["outbox"]


def _ordered(trace: Trace, order: list[str]) -> Trace:
    """The trace with the variables as the modules declare them; TLC has its own order."""
    place = {name: number for number, name in reversed(list(enumerate(order)))}

    def rank(name: str) -> tuple[int, str]:
        return place.get(name, len(order)), name

    steps = (
        Step(step.action, {name: step.state[name] for name in sorted(step.state, key=rank)})
        for step in trace.steps
    )
    return replace(trace, steps=tuple(steps))


@dataclass
class Counterexample:
    """The counterexample of one result.

    Attributes:
        title: What it shows, in one line.
        trace: The states.
        inboxes: Names of the variables that hold what a node was told.
        outboxes: Names of the variables that hold what a node asked for.
    """

    title: str
    trace: Trace
    inboxes: set[str] = field(default_factory=set)
    outboxes: set[str] = field(default_factory=set)

    @staticmethod
    def of(project: Project, result: Result) -> Counterexample:
        """The counterexample of a result that has one.

        Raises:
            InternalError: The result has no trace.
        """
        if result.outcome is None or result.outcome.trace is None:
            raise InternalError(f"{result.model.name} has no counterexample")
        trace = result.outcome.trace
        count = len(trace.steps) - 1
        steps = f"{count} step" if count == 1 else f"{count} steps"
        ending = {True: " and then for ever", False: ""}[trace.loop is not None or trace.stutters]
        title = f"{result.model.name}: {result.verdict.property} is violated after {steps}{ending}"
        texts = module_texts(project, result.model)
        inboxes, outboxes = _ports(texts)
        order = [name for text in texts.values() for name in declared_variables(text)]
        return Counterexample(title, _ordered(trace, order), inboxes, outboxes)

    def rows(self) -> list[tuple[int, str, list[Change]]]:
        """For each state its number from 1, the action that led to it, and what changed."""
        found: list[tuple[int, str, list[Change]]] = []
        before: Mapping[str, Any] = {}
        for number, step in enumerate(self.trace.steps, start=1):
            if number == 1:
                changes = [Change(name, "", pretty(value)) for name, value in step.state.items()]
            else:
                changes = changes_between(before, step.state)
            found.append((number, _action(step) if number > 1 else "initially", changes))
            before = step.state
        return found

    def ending(self) -> str:
        """What comes after the last state of a lasso, or ""."""
        if self.trace.stutters:
            return "and then nothing happens any more"
        if self.trace.loop is not None:
            how = f" by {self.trace.loop_action}" if self.trace.loop_action else ""
            return f"and then back to state {self.trace.loop + 1}{how}, for ever"
        return ""

    def nodes(self) -> list[str]:
        """The nodes that have an inbox or an outbox, in order."""
        state = self.trace.steps[0].state
        names: set[str] = set()
        for port in self.inboxes | self.outboxes:
            value = state.get(port)
            if isinstance(value, Mapping) and "tag" not in value:
                names |= {pretty(key) for key in value}
        return sorted(names)

    def events(self) -> list[Event]:
        """The lines of the sequence diagram; none if no variable is marked."""
        if not self.nodes():
            return []
        idle = self.trace.steps[0].state
        found: list[Event] = []
        for number, (step, following) in enumerate(
            zip(self.trace.steps, self.trace.steps[1:], strict=False), start=2
        ):
            found += self._events_of(number, step.state, following, idle)
        return found

    def _events_of(
        self, number: int, before: Mapping[str, Any], step: Step, idle: Mapping[str, Any]
    ) -> list[Event]:
        action = _action(step)
        asked = self._arrivals(self.outboxes, before, step.state, idle)
        told = self._arrivals(self.inboxes, before, step.state, idle)
        found = [Event(number, action, node, SERVER, label) for node, label in asked]
        found += [Event(number, action, SERVER, node, label) for node, label in told]
        if found:
            return found
        return [Event(number, action, self._actor(before, step.state))]

    @staticmethod
    def _arrivals(
        ports: set[str],
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        idle: Mapping[str, Any],
    ) -> Iterator[tuple[str, str]]:
        """Who has something new in a port; a port is empty when it is as it was initially."""
        for port in sorted(ports):
            was, now, empty = before.get(port), after.get(port), idle.get(port)
            if not (isinstance(was, Mapping) and isinstance(now, Mapping)):
                continue
            for key, value in now.items():
                silent = isinstance(empty, Mapping) and empty.get(key) == value
                if value != was.get(key) and not silent:
                    yield pretty(key), pretty(value)

    def _actor(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
        """Whose step it is: that of the only node whose inbox was emptied, else the server's."""
        touched: set[str] = set()
        for port in self.inboxes:
            was, now = before.get(port), after.get(port)
            if isinstance(was, Mapping) and isinstance(now, Mapping):
                touched |= {pretty(key) for key in now if now[key] != was.get(key)}
        return touched.pop() if len(touched) == 1 else SERVER

    # --- Forms ---

    def as_text(self) -> str:
        """The table and the diagram for a terminal."""
        lines = [self.title, ""]
        for number, action, changes in self.rows():
            lines.append(f"{number:>3}  {action}")
            wide = max((len(change.place) for change in changes), default=0)
            for change in changes:
                shown = f"{change.before} -> {change.after}" if change.before else change.after
                wrapped = textwrap.wrap(shown, 96 - min(wide, 40)) or [""]
                lines.append(f"       {change.place:{wide}}  {wrapped[0]}")
                lines += [f"       {'':{wide}}    {line}" for line in wrapped[1:]]
            if not changes:
                lines.append("       nothing changes")
        if self.ending():
            lines.append(f"     {self.ending()}")
        diagram = self._diagram()
        return "\n".join([*lines, *([""] if diagram else []), *diagram])

    def _diagram(self) -> list[str]:
        events = self.events()
        if not events:
            return []
        names = [*self.nodes(), SERVER]
        gutter = max(len(f"{event.step} {event.action}") for event in events) + 2
        lines = [" " * gutter + "".join(name.center(COLUMN_WIDTH) for name in names).rstrip()]
        previous = 0
        for event in events:
            head = f"{event.step} {event.action}" if event.step != previous else ""
            previous = event.step
            lines.append(f"{head:{gutter}}" + _lifelines(names, event))
        return lines

    def as_mermaid(self) -> str:
        """The sequence diagram as Mermaid text."""
        names = [*self.nodes(), SERVER] if self.nodes() else ["system"]
        ids = {name: f"P{number}" for number, name in enumerate(names)}
        lines = ["sequenceDiagram", f"    %% {self.title}"]
        lines += [f"    participant {ids[name]} as {_mermaid(name)}" for name in names]
        events = self.events() or [
            Event(number, action, "system") for number, action, _ in self.rows()[1:]
        ]
        previous = 0
        for event in events:
            if event.step != previous or not event.target:
                lines.append(
                    f"    Note over {ids[event.source]}: {event.step} {_mermaid(event.action)}"
                )
            previous = event.step
            if event.target:
                arrow = "->>" if event.target == SERVER else "-->>"
                lines.append(
                    f"    {ids[event.source]}{arrow}{ids[event.target]}: {_mermaid(event.label)}"
                )
        if self.ending():
            lines.append(
                f"    Note over {ids[names[0]]},{ids[names[-1]]}: {_mermaid(self.ending())}"
            )
        return "\n".join(lines) + "\n"

    def as_html(self) -> str:
        """One page with the table, the diagram and every state; it loads nothing."""
        import jinja2

        environment = jinja2.Environment(
            autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
        )
        states = [
            (number, [(name, pretty(value)) for name, value in step.state.items()])
            for number, step in enumerate(self.trace.steps, start=1)
        ]
        return environment.from_string(_PAGE).render(
            title=self.title,
            rows=self.rows(),
            ending=self.ending(),
            picture=self._picture(),
            states=states,
            mermaid=self.as_mermaid(),
        )

    def _picture(self) -> dict[str, Any] | None:
        """What the page's SVG needs: sizes in pixels, lifelines and lines."""
        events = self.events()
        if not events:
            return None
        names = [*self.nodes(), SERVER]
        gap, row, left, top = 260, 34, 230, 50
        places = {name: left + gap // 2 + gap * number for number, name in enumerate(names)}
        lines = [
            {
                "y": top + row * number,
                "head": f"{event.step} {event.action}",
                "from": places[event.source],
                "to": places[event.target] if event.target else None,
                "middle": (places[event.source] + places[event.target]) // 2 if event.target else 0,
                "label": _cut(event.label, LABEL_WIDTH),
                "answer": event.source == SERVER,
            }
            for number, event in enumerate(events, start=1)
        ]
        height = top + row * (len(events) + 1)
        width = left + gap * len(names)
        return {"places": places, "lines": lines, "height": height, "width": width, "top": top}


def _action(step: Step) -> str:
    """The action as it is shown: `C!Attach("n1_OF_NODE")` as `C!Attach(n1)`."""
    name = re.sub(r'"(\w+?)_OF_[A-Z][A-Z0-9_]*"', r"\1", step.action)
    return name or "a step"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def _mermaid(text: str) -> str:
    """Text that Mermaid takes as it is: its marks written as entities."""
    marks = {"#": "#35;", ";": "#59;", "<": "#lt;", ">": "#gt;"}
    return "".join(marks.get(char, char) for char in text)


def _lifelines(names: list[str], event: Event) -> str:
    """One line of the terminal's diagram."""
    line = [" "] * (COLUMN_WIDTH * len(names))
    middle = {name: COLUMN_WIDTH * number + COLUMN_WIDTH // 2 for number, name in enumerate(names)}
    for place in middle.values():
        line[place] = "|"
    begin = middle[event.source]
    if not event.target:
        line[begin] = "*"
        return "".join(line).rstrip()
    end = middle[event.target]
    low, high = min(begin, end), max(begin, end)
    for place in range(low + 1, high):
        line[place] = "-"
    line[end - 1 if end > begin else end + 1] = ">" if end > begin else "<"
    label = f" {_cut(event.label, high - low - 7)} "
    start = low + (high - low - len(label)) // 2
    line[start : start + len(label)] = label
    return "".join(line).rstrip()


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ title }}</title>
<style>
  body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem;
         color: #1c2430; background: #fff; }
  h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
  table { border-collapse: collapse; }
  td, th { border-top: 1px solid #d8dde4; padding: .25rem .75rem .25rem 0; text-align: left;
           vertical-align: top; }
  code { font: 13px ui-monospace, monospace; overflow-wrap: anywhere; }
  .before { color: #8a5a00; } .after { color: #0a6b3d; font-weight: 600; }
  .scroll { overflow-x: auto; }
  svg text { font: 12px system-ui, sans-serif; fill: #1c2430; }
  @media (prefers-color-scheme: dark) {
    body { color: #dde3ea; background: #14181d; } td, th { border-color: #333c47; }
    svg text { fill: #dde3ea; } .before { color: #e0b060; } .after { color: #6fd39b; }
  }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{% if picture %}
<h2>Requests and answers</h2>
<div class="scroll">
<svg xmlns="http://www.w3.org/2000/svg" width="{{ picture.width }}" height="{{ picture.height }}"
     role="img" aria-label="sequence diagram">
  <defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8"
        orient="auto-start-reverse"><path d="M0 0 8 4 0 8z" fill="#4a78b5"/></marker></defs>
  {% for name, x in picture.places.items() %}
  <text x="{{ x }}" y="22" text-anchor="middle" font-weight="700">{{ name }}</text>
  <line x1="{{ x }}" y1="32" x2="{{ x }}" y2="{{ picture.height }}" stroke="#9aa5b1"/>
  {% endfor %}
  {% for line in picture.lines %}
  <text x="4" y="{{ line.y + 4 }}">{{ line.head }}</text>
  {% if line.to is none %}
  <circle cx="{{ line.from }}" cy="{{ line.y }}" r="4" fill="#4a78b5"/>
  {% else %}
  <line x1="{{ line.from }}" y1="{{ line.y }}" x2="{{ line.to }}" y2="{{ line.y }}" stroke="#4a78b5"
        {% if line.answer %}stroke-dasharray="5 3" {% endif %}marker-end="url(#tip)"/>
  <text x="{{ line.middle }}" y="{{ line.y - 5 }}" text-anchor="middle">{{ line.label }}</text>
  {% endif %}
  {% endfor %}
</svg>
</div>
{% endif %}
<h2>What changes</h2>
<div class="scroll">
<table>
<tr><th>state</th><th>action</th><th>changes</th></tr>
{% for number, action, changes in rows %}
<tr><td>{{ number }}</td><td><code>{{ action }}</code></td><td>
{% for change in changes %}
<code>{{ change.place }}: {% if change.before %}<span class="before">{{ change.before }}</span> &rarr; {% endif %}<span class="after">{{ change.after }}</span></code><br>
{% endfor %}
</td></tr>
{% endfor %}
{% if ending %}<tr><td></td><td colspan="2">{{ ending }}</td></tr>{% endif %}
</table>
</div>
<h2>Every state</h2>
{% for number, values in states %}
<details><summary>state {{ number }}</summary>
<table>{% for name, value in values %}<tr><td><code>{{ name }}</code></td><td><code>{{ value }}</code></td></tr>{% endfor %}</table>
</details>
{% endfor %}
<h2>Mermaid</h2>
<details><summary>text of the diagram</summary><pre><code>{{ mermaid }}</code></pre></details>
</body>
</html>
"""
