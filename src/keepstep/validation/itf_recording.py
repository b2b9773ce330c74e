"""A trace of states, as checkers write it, made into a recording.

What a recorder would have seen of it: each step of a contender, and in the servers' log each
change of the data, each accepted write, and the beginning and end of sessions. Real values are
made up for abstract ones, so that reading the recording gives the abstract ones back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from keepstep.core.ids import NodeId
from keepstep.derive.ast import Spec
from keepstep.derive.system import Leaf, System, translate
from keepstep.errors import LocalViolation
from keepstep.tla.values import Fn
from keepstep.validation import recording as records
from keepstep.validation.candidates import FEATURES, MOST_FAULTS
from keepstep.validation.election_abstraction import BARE, DUTIES, tree_value
from keepstep.znodes.epoch import incarnation_name
from keepstep.znodes.latch import Ticket, ticket_name

__all__ = ["recording_of"]

LATCH = "/itf/latch"
FENCE = "/itf/epoch"
_OUTSIDER = "0xffff"


def recording_of(
    spec: Spec, digests: Mapping[str, str], states: Sequence[Mapping[str, Any]], name: str
) -> records.Recording:
    """The recording of a behaviour.

    Args:
        spec: The composition of the election, as SANY reads it.
        digests: SHA-256 of each of its modules, by name.
        states: The states, values by names of variables; the first one an initial one.
        name: How messages name the trace.

    Raises:
        LocalViolation: Two states do not follow each other, or the trace begins with data.
    """
    return _Writer(spec, states, name).recording(dict(digests))


class _Writer:
    """Writes what a recorder would have seen."""

    def __init__(self, spec: Spec, states: Sequence[Mapping[str, Any]], name: str) -> None:
        modes = states[0].get("mode") if states else None
        if not isinstance(modes, Mapping) or not all(isinstance(node, str) for node in modes):
            raise LocalViolation(f"{name}: it is no trace of the election's composition")
        self.name = name
        self.states = states
        self.nodes = {node: number for number, node in enumerate(sorted(modes), 1)}
        self.system: System = translate(
            spec,
            {
                "NODES": frozenset(self.nodes),
                "DUTIES": frozenset(f"{duty}_OF_DUTY" for duty in DUTIES),
                "FEATURES": FEATURES,
                "FAULTS": MOST_FAULTS,
            },
        )
        self.commands = {
            operator.name.rpartition("!")[2]: operator.annotations["command"].strip("; ")
            for operator in spec.operators.values()
            if "command" in operator.annotations
        }
        self.numbers: dict[str, int] = {}
        self.zxid = 0
        self.versions: Counter[str] = Counter()
        self.found: list[records.Record] = []

    def recording(self, digests: dict[str, str]) -> records.Recording:
        first = self.states[0]
        if first.get("tree") != tree_value(BARE):
            raise LocalViolation(
                f"{self.name}: a recording begins without data; this trace does not"
            )
        # Every other state follows from this one, so nothing else needs to be looked at.
        if tuple(first.get(name) for name in self.system.variables) not in self.system.initial():
            raise LocalViolation(f"{self.name}: it does not begin with an initial state")
        for node in self.nodes:
            self.found.append(records.Start(_short(node), self.next(node), self.uuid(node)))
        behind = False
        for place, (before, after) in enumerate(zip(self.states, self.states[1:], strict=False)):
            if before != after:
                leaf = self.leaf(place, before, after)
                behind |= leaf.label == "S!FallBehind"
                self.write(leaf, before, after)
        self.found.append(records.End(len(self.found)))
        header = records.Header(
            records.FORMAT, records.PROTOCOL, digests, LATCH, FENCE,
            3 if behind else 1, records.PROMPT, source=f"the trace {self.name}",
        )  # fmt: skip
        return records.Recording(header, tuple(self.found), self.name)

    def leaf(self, place: int, before: Mapping[str, Any], after: Mapping[str, Any]) -> Leaf:
        """The action that leads from one state to the next."""
        try:
            old, new = (
                [state[name] for name in self.system.variables] for state in (before, after)
            )
        except KeyError as error:
            raise LocalViolation(f"{self.name}: state {place} has no {error.args[0]}") from None
        for leaf, found in self.system.successors(tuple(old)):
            if list(found) == new:
                return leaf
        raise LocalViolation(f"{self.name}: no action leads from state {place} to the next")

    def write(self, leaf: Leaf, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """The records of a step."""
        action = leaf.label.rpartition("!")[2]
        if leaf.label.startswith("C!") or action == "Resign":
            self.write_step(action, leaf.arguments, before, after)
        elif action == "Wipe":
            self.found.append(records.Fault("wipe"))
        else:
            if action == "ServeAwait":
                (node,) = leaf.arguments
                number = self.next(node)
                self.found.append(records.Outcome(_short(node), number, "answer", "Answer"))
            self.write_sessions(before, after)
            node = leaf.arguments[0] if leaf.arguments else ""
            self.write_changes(action, node, before, after)

    # --- Contenders ---

    def write_step(
        self,
        action: str,
        arguments: Sequence[Any],
        before: Mapping[str, Any],
        after: Mapping[str, Any],
    ) -> None:
        node, *payload = arguments
        inbox = before["inbox"][node]
        told, content = inbox["tag"], self.fields(inbox["value"], node)
        if action in self.commands:
            told = self.commands[action]
            content = {"duty": payload[0].partition("_OF_")[0]} if payload else {}
        asked = after["request"][node]
        requests: tuple[dict[str, Any], ...] = ()
        if before["request"][node] != asked and asked["tag"] != "NoRequest":
            requests = ({"asks": asked["tag"], **self.fields(asked["value"], node)},)
        facts = {
            name: next((self.field(name, value, node) for value in after[name][node]), None)
            for name in ("session", "ticket", "fence")
        }
        self.found.append(
            records.Input(
                _short(node),
                self.next(node),
                told,
                action,
                before["mode"][node],
                after["mode"][node],
                facts,
                content,
                requests,
            )
        )

    def fields(self, payload: Any, node: str) -> dict[str, Any]:
        if not isinstance(payload, Fn):
            return {}
        return {name: self.field(name, value, node) for name, value in payload.items()}

    def field(self, name: str, value: Any, node: str) -> Any:
        """A field as it stands in a record."""
        match name:
            case "session":
                return self.session(node, value)
            case "ticket":
                return self.ticket(value)
            case "names":
                return sorted(map(self.ticket, value))
            case "fence":
                return {**value, "incarnation": incarnation_name(value["incarnation"] + 1)}
        return str(value).partition("_OF_")[0]

    # --- Servers ---

    def write_sessions(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        for session in after["live"] - before["live"]:
            self.transaction(self.session(**session), "open")
        for session in before["live"] - after["live"]:
            gone = before["tree"]["latch"]["znodes"] - after["tree"]["latch"]["znodes"]
            paths = sorted(f"{LATCH}/{self.ticket(ticket['name'])}" for ticket in gone)
            self.transaction(self.session(**session), "close", deleted=tuple(paths))

    def write_changes(
        self, action: str, node: str, before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> None:
        """What a step other than the end of a session does to the data."""
        if before["live"] - after["live"]:
            return
        session, asked = _OUTSIDER, None
        if action.startswith(("Serve", "Miss", "Refuse")):
            session = self.session(node, before["sessions"][node])
            asked = before["request"][node]
        elif action == "ApplyLate":
            (flight,) = before["late"][node] - after["late"][node]
            session, asked = self.session(node, flight["session"]), flight["request"]
        changes = self.changes(before["tree"], after["tree"], asked)
        if action == "Touch":
            # The data of a ticket is no part of a state, so only the watch shows that it was set.
            (name,) = before["watched"][node]
            changes = self.touch(name, before["tree"])
        failed = None if asked is None else self.failed(before["tree"], asked)
        if asked is not None and asked["tag"] == "WriteFenced" and failed is None:
            changes = (*self.guards(asked), records.Change("create", "/itf/writes/one"))
        if changes:
            self.transaction(session, "write", changes)
        elif failed is not None:
            self.transaction(session, "refuse", refused=failed)

    def touch(self, name: Fn, tree: Fn) -> tuple[records.Change, ...]:
        """A ticket's data is set; nothing, where it is gone and its watcher was not told yet."""
        path = f"{LATCH}/{self.ticket(name)}"
        if name not in {ticket["name"] for ticket in tree["latch"]["znodes"]}:
            return ()
        self.versions[path] += 1
        return (records.Change("set", path, self.versions[path]),)

    def changes(self, old: Fn, new: Fn, asked: Fn | None) -> tuple[records.Change, ...]:
        found = []
        latch, later = old["latch"], new["latch"]
        if later["exists"] and not latch["exists"]:
            found.append(records.Change("create", LATCH))
        for ticket in later["znodes"] - latch["znodes"]:
            path = f"{LATCH}/{self.ticket(ticket['name'])}"
            found.append(records.Change("create", path, ephemeral=True))
        gone = latch["znodes"] - later["znodes"]
        found += [records.Change("delete", f"{LATCH}/{self.ticket(t['name'])}") for t in gone]
        if latch["exists"] and not later["exists"]:
            found.append(records.Change("delete", LATCH))
        for epoch in new["epochs"]["znodes"] - old["epochs"]["znodes"]:
            path = self.epoch(epoch["name"])
            if old["epochs"]["znodes"] and asked is not None:
                found.append(records.Change("set", path, epoch["version"], epoch["epoch"]))
                found.append(self.guards(asked)[1])
            else:
                found.append(records.Change("create", FENCE))
                found.append(records.Change("create", path, epoch=epoch["epoch"]))
        return tuple(found)

    @staticmethod
    def failed(tree: Fn, asked: Fn) -> int | None:
        """Which operation of a multi is refused; None if none is, or if it is no multi."""
        if asked["tag"] == "FoundEpoch":
            return 0 if tree["epochs"]["exists"] else None
        if asked["tag"] not in {"RaiseEpoch", "WriteFenced"}:
            return None
        fence, ticket = asked["value"]["fence"], asked["value"]["ticket"]
        current = {(e["name"], e["version"]) for e in tree["epochs"]["znodes"]}
        if (fence["incarnation"], fence["version"]) not in current:
            return 0
        return None if ticket in {t["name"] for t in tree["latch"]["znodes"]} else 1

    def guards(self, asked: Fn) -> tuple[records.Change, records.Change]:
        """The checks of a fenced request: the epoch's and the ticket's."""
        fence, ticket = asked["value"]["fence"], asked["value"]["ticket"]
        return (
            records.Change("check", self.epoch(fence["incarnation"]), fence["version"]),
            records.Change("check", f"{LATCH}/{self.ticket(ticket)}"),
        )

    def transaction(
        self,
        session: str,
        does: records.Doing,
        changes: tuple[records.Change, ...] = (),
        deleted: tuple[str, ...] = (),
        refused: int = -1,
    ) -> None:
        self.zxid += 1
        zxid = f"0x{self.zxid:x}"
        self.found.append(records.Transaction(zxid, session, does, changes, deleted, refused))

    # --- Names ---

    def next(self, node: str) -> int:
        number = self.numbers.get(node, 0)
        self.numbers[node] = number + 1
        return number

    def uuid(self, node: str) -> NodeId:
        return NodeId(f"00000000-0000-4000-8000-{self.nodes[node]:012}")

    def session(self, node: str, number: int) -> str:
        return f"0x{self.nodes[node]:x}{number:04x}"

    def ticket(self, name: Fn) -> str:
        return ticket_name(Ticket(self.uuid(name["node"]), name["number"] - 1))

    @staticmethod
    def epoch(incarnation: int) -> str:
        return f"{FENCE}/{incarnation_name(incarnation + 1)}"


def _short(node: str) -> str:
    return node.partition("_OF_")[0]
