"""The rules of the subset that can be derived, as docs/reference/subset.md explains them."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from keepstep.errors import InvalidSpec

if TYPE_CHECKING:
    from keepstep.derive.ast import Place, Spec

__all__ = ["Rule", "refusal"]


class Rule(Enum):
    """A rule: its name, which is a heading of the page, and an example of the allowed form."""

    MACHINE = ("machine", r"\* @machine: Contender(n);  above VARIABLES, n being any name")
    MARKS = ("marks", r"\* @state, @fact, @inbox, @outbox or @world above each variable")
    TYPES = ("types", r"\* @type: NODE -> Set($ticketName);")
    MODES = ("modes", r'MODES == { "offline", \* not connected ... }, one mode a line')
    INITIAL = ("initial state", r'Init == /\ mode = [n \in NODES |-> "offline"] /\ ...')
    ACTIONS = ("actions", r'Attach(n) == /\ mode[n] = "offline" /\ Told(n, "Connected") /\ ...')
    ASSIGNMENTS = ("assignments", "x' = [x EXCEPT ![n] = value], or x in UNCHANGED <<...>>")
    INPUTS = ("inputs", r'Told(n, "Synced") and an emptied inbox; or @command and UNCHANGED inbox')
    REQUESTS = ("requests", "request' = [request EXCEPT ![n] = AwaitDeparture(ticket)]")
    GUARDS = ("guards", "IsFirst(n)  or  ~IsFirst(n)")
    READING = ("reading", "fence[n]  or  AsConnected(inbox[n]).session")
    VALUES = ("values", r"{ t.number : t \in { u \in Names(n) : u.node = n } }")
    OPERATORS = ("operators", "OwnNumbers(n) == ..., with a sentence and an @type above it")
    VOCABULARY = (
        "vocabulary",
        'Connected(session) == Variant("Connected", [session |-> session]), with a sentence above',
    )
    RECORDS = ("records", r"\* @typeAlias: ticketName = { node: NODE, number: Int };")
    OPTIONAL = ("optional facts", "ticket[n] = {}, ticket[n] = {t}, The(ticket[n])")
    KEYED = ("keyed facts", r"\* @key: task;  above a fact that is a set of records")
    SETTINGS = ("settings", r"\* @type: Int;  above a constant")
    NAMES = ("names", "Lead, not Raise; ListNames, not List")
    COMMENTS = ("comments", r"\* One sentence above the definition.")

    @property
    def title(self) -> str:
        """The heading of the rule."""
        return self.value[0]

    @property
    def form(self) -> str:
        """An example of the allowed form."""
        return self.value[1]


def refusal(spec: Spec, rule: Rule, message: str, at: Place, cure: str = "") -> InvalidSpec:
    """The error that refuses a module, to be raised by the caller."""
    return InvalidSpec(message, spec.file(at.module), at.line, rule.title, cure or rule.form)
