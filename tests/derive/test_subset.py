"""A module that breaks a rule of the subset is refused: with the line, the rule and a cure."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from keepstep.derive.derivation import derive_role
from keepstep.derive.subset import Rule
from keepstep.errors import InvalidSpec

pytestmark = pytest.mark.tools

HERE = Path(__file__).parent
LAMP = HERE / "fixtures" / "lamp"
SHIMS = HERE.parents[1] / "models" / "shims"
PAGE = HERE.parents[1] / "docs" / "reference" / "subset.md"


@dataclass(frozen=True)
class Break:
    """An edit that breaks a rule.

    Attributes:
        name: What is wrong.
        old, new: The edit; `old` occurs once.
        rule: The rule that is broken.
        line: A part of the line, after the edit, that the refusal names.
        says: A part of the message.
        file: The module that is edited.
    """

    name: str
    old: str
    new: str
    rule: Rule
    line: str
    says: str
    file: str = "Keeper"


SWAP_GUARD = '/\\ mode[k] = "shining"\n    /\\ IsSpare(k, cask)\n    /\\ cellar'
EMPTY = "\n    /\\ inbox' = [inbox EXCEPT ![k] = NoInput]\n"
LIGHT = '\n    /\\ Told(k, "CasksListed")\n    /\\ HasOil(k)\n'
HAS_OIL = "HasOil(k) == Full(k) /= {}"

BREAKS = [
    # --- Declarations ---
    Break("no machine", "\\* @machine: Keeper(k);\n", "\n", Rule.MACHINE, "MODULE Keeper", "has 0"),
    Break(
        "two machines",
        "\\* @machine: Keeper(k);\n",
        "\\* @machine: Keeper(k);\n\\* @machine: Other(k);\n",
        Rule.MACHINE,
        "Other(k)",
        "has 2",
    ),
    Break("no class name", "Keeper(k);", "keeper(k);", Rule.MACHINE, "keeper(k)", "no name"),
    Break("no mark", "    \\* @world\n", "", Rule.MARKS, "    world", "0 marks"),
    Break("two marks", "\\* @world\n", "\\* @world @fact\n", Rule.MARKS, "    world", "2 marks"),
    Break("two inboxes", "\\* @outbox\n", "\\* @inbox\n", Rule.MARKS, "    request,", "here are 2"),
    Break(
        "no variable type",
        "    \\* @type: NODE -> Int;\n",
        "",
        Rule.TYPES,
        "    night,",
        "no @type",
    ),
    Break(
        "an unreadable type",
        "@type: NODE -> Int;",
        "@type: NODE -> -> Int;",
        Rule.TYPES,
        "    night,",
        "cannot read",
    ),
    Break(
        "a state that is no string",
        "@type: NODE -> Str;",
        "@type: NODE -> Int;",
        Rule.TYPES,
        "    mode,",
        "no function from a node to Str",
    ),
    Break(
        "a fact of another domain",
        "@type: NODE -> Int;",
        "@type: CASK -> Int;",
        Rule.TYPES,
        "    night,",
        "no function from NODE",
    ),
    Break(
        "a fact that is a function",
        "@type: NODE -> Int;",
        "@type: NODE -> CASK -> Int;",
        Rule.TYPES,
        "    night,",
        "CASK -> Int has no form in Python",
    ),
    Break(
        "a fact without a sentence",
        "    \\* The number of the night.\n",
        "",
        Rule.COMMENTS,
        "    night,",
        "no sentence",
    ),
    Break(
        "an inbox of another type",
        "NODE -> $keeperInput",
        "NODE -> $keeperRequest",
        Rule.VOCABULARY,
        "    inbox,",
        "no input type",
    ),
    Break(
        "an optional number",
        "\\* @fact\n    night",
        "\\* @fact @optional\n    night",
        Rule.OPTIONAL,
        "    night,",
        "optional and no set",
    ),
    Break(
        "a key that is no field",
        "@key: name;",
        "@key: colour;",
        Rule.KEYED,
        "    cellar,",
        "'colour'",
    ),
    Break(
        "a setting without a sentence",
        "    \\* How much oil a night takes.\n",
        "",
        Rule.COMMENTS,
        "    ENOUGH,",
        "no sentence",
    ),
    # --- Modes and Init ---
    Break(
        "modes that are computed",
        "MODES == {",
        "MODES == {} \\union {",
        Rule.MODES,
        "MODES ==",
        "no enumeration",
    ),
    Break(
        "a mode in capitals", '"idle"      \\*', '"Idle"      \\*', Rule.MODES, '"Idle"', "lower"
    ),
    Break(
        "a mode without a comment",
        "\\* it is night and there is no oil",
        "",
        Rule.MODES,
        '"idle"',
        "no comment",
    ),
    Break(
        "a mode that nothing enters",
        '"asleep",   \\* it is day',
        '"asleep",   \\* it is day\n    "singing",  \\* never',
        Rule.MODES,
        "MODES ==",
        "'singing'",
    ),
    Break(
        "a mode that is not declared",
        'EXCEPT ![k] = "idle"]',
        'EXCEPT ![k] = "sad"]',
        Rule.MODES,
        '= "sad"',
        "not in MODES",
    ),
    Break(
        "a mode that is computed",
        'EXCEPT ![k] = "idle"]',
        'EXCEPT ![k] = IF night[k] = 0 THEN "idle" ELSE "asleep"]',
        Rule.MODES,
        "IF night[k] = 0",
        "named",
    ),
    Break(
        "a guard that leaves no mode",
        'mode[k] = "looking"\n    /\\ Told(k, "CasksListed")\n    /\\ ~HasOil(k)',
        'mode[k] = "looking"\n    /\\ mode[k] = "idle"\n    /\\ Told(k, "CasksListed")\n    /\\ ~HasOil(k)',
        Rule.MODES,
        "Despair(k) ==",
        "no mode is left",
    ),
    Break(
        "a fact without a first value",
        "    /\\ night = [k \\in KEEPERS |-> 0]\n",
        "",
        Rule.INITIAL,
        "Init ==",
        "night no value",
    ),
    Break(
        "an unknown first mode",
        '|-> "asleep"]',
        '|-> "awake"]',
        Rule.INITIAL,
        "Init ==",
        "MODES",
    ),
    Break(
        "Init that chooses",
        "night = [k \\in KEEPERS |-> 0]",
        "night \\in [KEEPERS -> 0..1]",
        Rule.INITIAL,
        "night \\in",
        "one value",
    ),
    # --- Actions ---
    Break(
        "a disjunction around primes",
        EMPTY + "    /\\ UNCHANGED <<cellar, burning, spent, night, request, world>>\n\n\\* A dusk",
        "\n    /\\ \\/ inbox' = [inbox EXCEPT ![k] = NoInput]\n       \\/ FALSE"
        "\n    /\\ UNCHANGED <<cellar, burning, spent, night, request, world>>\n\n\\* A dusk",
        Rule.ACTIONS,
        "/\\ \\/ inbox'",
        "a prime stands elsewhere",
    ),
    Break(
        "a guard after a prime",
        LIGHT + '    /\\ mode\' = [mode EXCEPT ![k] = "shining"]\n',
        '\n    /\\ Told(k, "CasksListed")\n    /\\ mode\' = [mode EXCEPT ![k] = "shining"]\n    /\\ HasOil(k)\n',
        Rule.ACTIONS,
        "    /\\ HasOil(k)",
        "after a prime",
    ),
    Break(
        "no mode guard",
        '    /\\ mode[k] = "looking"\n    /\\ Told(k, "CasksListed")\n    /\\ HasOil(k)',
        '    /\\ Told(k, "CasksListed")\n    /\\ HasOil(k)',
        Rule.ACTIONS,
        "Light(k) ==",
        "which mode",
    ),
    Break(
        "an action about nobody",
        "\\* A ship hails: answer.\n",
        "\\* Nothing happens.\nStutter == UNCHANGED <<mode, cellar, burning, spent, night, inbox, request, world>>\n\n"
        "\\* A ship hails: answer.\n",
        Rule.ACTIONS,
        "Stutter ==",
        "not about k",
    ),
    Break(
        "an action without a sentence",
        "\\* There is no oil: sit in the dark.\n",
        "",
        Rule.COMMENTS,
        "Despair(k) ==",
        "no sentence",
    ),
    Break(
        "a variable forgotten",
        "UNCHANGED <<night, world>>",
        "UNCHANGED <<world>>",
        Rule.ASSIGNMENTS,
        "Light(k) ==",
        "night is given no value",
    ),
    Break(
        "a variable given twice",
        "UNCHANGED <<night, world>>",
        "UNCHANGED <<night, night, world>>",
        Rule.ASSIGNMENTS,
        "Light(k) ==",
        "night is given two values",
    ),
    Break(
        "another node's fact",
        "night' = [night EXCEPT ![k]",
        'night\' = [night EXCEPT !["k2_OF_NODE"]',
        Rule.ASSIGNMENTS,
        "k2_OF_NODE",
        "another form",
    ),
    Break(
        "the world changed",
        "UNCHANGED <<night, world>>",
        "world' = world\n    /\\ UNCHANGED night",
        Rule.ASSIGNMENTS,
        "world' = world",
        "not the role's",
    ),
    # --- Inputs and requests ---
    Break(
        "an input and a command",
        "\\* There is no oil: sit in the dark.\n",
        "\\* There is no oil: sit in the dark.\n\\* @command: Dark;\n",
        Rule.INPUTS,
        "Despair(k) ==",
        "and is a @command",
    ),
    Break(
        "neither",
        "\\* @command: ShipSeen;\n",
        "",
        Rule.INPUTS,
        "Answer(k) ==",
        "no input and has no",
    ),
    Break(
        "an input left in the inbox",
        EMPTY + "    /\\ UNCHANGED <<cellar, spent, night, world>>",
        "\n    /\\ UNCHANGED <<inbox, cellar, spent, night, world>>",
        Rule.INPUTS,
        "Retire(k) ==",
        "leaves it",
    ),
    Break(
        "a command that empties the inbox",
        "ELSE ListCasks]\n    /\\ UNCHANGED <<mode, cellar, burning, spent, night, inbox, world>>",
        "ELSE ListCasks]"
        + EMPTY
        + "    /\\ UNCHANGED <<mode, cellar, burning, spent, night, world>>",
        Rule.INPUTS,
        "Answer(k) ==",
        "empties",
    ),
    Break(
        "something put into the inbox",
        EMPTY + "    /\\ UNCHANGED <<cellar, spent, night, world>>",
        "\n    /\\ inbox' = [inbox EXCEPT ![k] = Dawn]\n    /\\ UNCHANGED <<cellar, spent, night, world>>",
        Rule.INPUTS,
        "![k] = Dawn]",
        "only empties",
    ),
    Break(
        "two inputs",
        LIGHT,
        LIGHT + '    /\\ Told(k, "Dawn")\n',
        Rule.INPUTS,
        'Told(k, "Dawn")\n    /\\ mode\' = [mode EXCEPT ![k] = "shining"',
        "reads CasksListed and Dawn",
    ),
    Break(
        "an action that reads another input",
        "AsDusk(inbox[k]).night]",
        "Cardinality(Sound(k))]",
        Rule.INPUTS,
        "Rise(k) ==",
        "takes Dusk and reads CasksListed",
    ),
    Break(
        "a message that is none",
        LIGHT,
        LIGHT.replace("CasksListed", "CasksCounted"),
        Rule.VOCABULARY,
        "CasksCounted",
        "no case",
    ),
    Break(
        "commands of one name that differ",
        "@command: CaskSold;",
        "@command: ShipSeen;",
        Rule.INPUTS,
        "Answer(k) ==",
        "other parameters",
    ),
    Break(
        "a command that is a message",
        "@command: ShipSeen;",
        "@command: Dawn;",
        Rule.INPUTS,
        "Answer(k) ==",
        "message too",
    ),
    Break(
        "a request that is none",
        "![k] = Shine(FALSE)]",
        "![k] = Dawn]",
        Rule.REQUESTS,
        "![k] = Dawn]",
        "no request",
    ),
    Break(
        "no request is withdrawn",
        "![k] = Shine(FALSE)]",
        "![k] = NoRequest]",
        Rule.REQUESTS,
        "NoRequest]\n    /\\ inbox'",
        "no request",
    ),
    # --- Guards, readings and values ---
    Break(
        "a guard without a name",
        LIGHT,
        LIGHT.replace("HasOil(k)", "night[k] > 0"),
        Rule.GUARDS,
        "night[k] > 0",
        "named predicate",
    ),
    Break(
        "a guard with an argument of its own",
        SWAP_GUARD,
        SWAP_GUARD.replace("(k, cask)\n", '(k, "c1_OF_CASK")\n'),
        Rule.GUARDS,
        '"c1_OF_CASK")',
        "more than what the command brings",
    ),
    Break(
        "a guard of parameters that differ in name",
        "CASK) => Bool;\n\\* @command: CaskSold;\nSell(k, cask) ==\n    /\\ mode[k] \\in MODES\n    /\\ IsSpare(k, cask)\n    /\\ ~IsSooty(k)\n    /\\ cellar' = [cellar EXCEPT ![k] = { c \\in @ : c.name /= cask }]",
        "CASK) => Bool;\n\\* @command: CaskSold;\nSell(k, barrel) ==\n    /\\ mode[k] \\in MODES\n    /\\ IsSpare(k, barrel)\n    /\\ ~IsSooty(k)\n    /\\ cellar' = [cellar EXCEPT ![k] = { c \\in @ : c.name /= barrel }]",
        Rule.GUARDS,
        "Sell(k, barrel) ==",
        "differ in name",
    ),
    Break(
        "a guard that is a value too",
        "ELSE c : c \\in @ }]",
        "ELSE c : c \\in { d \\in @ : IsSpare(k, d.name) } }]",
        Rule.GUARDS,
        "IsSpare(k, d.name)",
        "used in a value too",
    ),
    Break(
        "the outbox read",
        HAS_OIL,
        "HasOil(k) == request[k] = request[k]",
        Rule.READING,
        "HasOil(k) ==",
        "request",
    ),
    Break(
        "the mode read",
        HAS_OIL,
        'HasOil(k) == mode[k] = "idle"',
        Rule.READING,
        "HasOil(k) ==",
        "mode is not a fact",
    ),
    Break(
        "another node read",
        HAS_OIL,
        "HasOil(k) == \\A j \\in {k} : night[j] = 0",
        Rule.READING,
        "HasOil(k) ==",
        "own facts",
    ),
    Break(
        "a variable read as a whole",
        HAS_OIL,
        "HasOil(k) == night = night",
        Rule.READING,
        "HasOil(k) ==",
        "as a whole",
    ),
    Break(
        "the inbox read by itself",
        HAS_OIL,
        "HasOil(k) == inbox[k] = inbox[k]",
        Rule.READING,
        "HasOil(k) ==",
        "accessor",
    ),
    Break(
        "two inputs read at once",
        HAS_OIL,
        "HasOil(k) == Full(k) /= {} \\/ AsDusk(inbox[k]).night = 0",
        Rule.INPUTS,
        "Light(k) ==",
        "reads Dusk",
    ),
    Break(
        "the set of all nodes",
        HAS_OIL,
        "HasOil(k) == KEEPERS /= {}",
        Rule.SETTINGS,
        "HasOil(k) ==",
        "KEEPERS",
    ),
    Break(
        "CHOOSE",
        HAS_OIL,
        "HasOil(k) == (CHOOSE c \\in Full(k) : TRUE).litres > 0",
        Rule.VALUES,
        "HasOil(k) ==",
        "CHOOSE",
    ),
    Break(
        "LET",
        HAS_OIL,
        "HasOil(k) == LET f == Full(k) IN f /= {}",
        Rule.VALUES,
        "HasOil(k) ==",
        "LET",
    ),
    Break(
        "CASE",
        HAS_OIL,
        "HasOil(k) == CASE night[k] = 0 -> TRUE [] OTHER -> FALSE",
        Rule.VALUES,
        "HasOil(k) ==",
        "CASE",
    ),
    Break("a tuple", HAS_OIL, "HasOil(k) == <<1>> = <<2>>", Rule.VALUES, "HasOil(k) ==", "a tuple"),
    Break(
        "a function",
        HAS_OIL,
        "HasOil(k) == [x \\in {1} |-> x] = [x \\in {1} |-> 1]",
        Rule.VALUES,
        "HasOil(k) ==",
        "a function",
    ),
    Break(
        "a function applied",
        HAS_OIL,
        "HasOil(k) == [x \\in {1} |-> TRUE][1]",
        Rule.READING,
        "HasOil(k) ==",
        "function is applied",
    ),
    Break(
        "powersets",
        HAS_OIL,
        "HasOil(k) == Full(k) \\in SUBSET Full(k)",
        Rule.VALUES,
        "HasOil(k) ==",
        "SUBSET",
    ),
    Break(
        "an operator that is not about the node",
        HAS_OIL,
        "Twice(x) == x + x\n\\* Oil.\n\\* @type: NODE => Bool;\nHasOil(k) == Twice(1) = 2",
        Rule.OPERATORS,
        "HasOil(k) ==",
        "Twice",
    ),
    Break(
        "recursion",
        HAS_OIL,
        "RECURSIVE Down(_, _)\nDown(k, x) == IF x = 0 THEN 0 ELSE Down(k, x - 1)\n"
        "\\* Oil.\n\\* @type: NODE => Bool;\nHasOil(k) == Down(k, 3) = 0",
        Rule.OPERATORS,
        "HasOil(k) ==",
        "recursive",
    ),
    Break(
        "an operator without a type",
        "\\* @type: NODE => Bool;\n" + HAS_OIL,
        HAS_OIL,
        Rule.OPERATORS,
        "HasOil(k) ==",
        "no @type",
    ),
    Break(
        "an operator without a sentence",
        "\\* There is oil for the night.\n",
        "",
        Rule.COMMENTS,
        "HasOil(k) ==",
        "no sentence",
    ),
    Break(
        "a record of no type",
        "{Fullest(k)}]",
        '{[name |-> Fullest(k).name, colour |-> "red"]}]',
        Rule.RECORDS,
        "colour",
        "none",
    ),
    Break(
        "a path into a record",
        "!.litres = @ - 1, !.sealed = FALSE]",
        "!.litres.more = 1]",
        Rule.RECORDS,
        "!.litres.more",
        "one path",
    ),
    # --- Optional facts ---
    Break(
        "an optional fact as a set",
        HAS_OIL,
        "HasOil(k) == burning[k] \\subseteq Full(k)",
        Rule.OPTIONAL,
        "HasOil(k) ==",
        "\\subseteq",
    ),
    Break(
        "an optional fact in a union",
        HAS_OIL,
        "HasOil(k) == Full(k) \\union burning[k] /= {}",
        Rule.OPTIONAL,
        "HasOil(k) ==",
        "as a set",
    ),
    Break(
        "an optional fact given many",
        "![k] = {Fullest(k)}]",
        "![k] = Full(k)]",
        Rule.OPTIONAL,
        "![k] = Full(k)]",
        "several elements",
    ),
    # --- Names ---
    Break(
        "two facts of one name",
        "    \\* @fact\n    night,",
        "    \\* @fact\n    night,\n    \\* Again.\n    \\* @type: NODE -> Int;\n    \\* @fact\n    Night,",
        Rule.NAMES,
        "    Night,",
        "both be called 'night'",
    ),
    Break("a keyword", "Despair(k) ==", "Raise(k) ==", Rule.NAMES, "Raise(k) ==", "'raise'"),
    Break("something built in", "Despair(k) ==", "List(k) ==", Rule.NAMES, "List(k) ==", "'list'"),
    Break(
        "a part of the machine", "Despair(k) ==", "Send(k) ==", Rule.NAMES, "Send(k) ==", "'send'"
    ),
    Break(
        "an action called like a mode",
        "Despair(k) ==",
        "Idle(k) ==",
        Rule.NAMES,
        "Idle(k) ==",
        "'idle'",
    ),
    Break(
        "an action called like an event",
        "Despair(k) ==",
        "ShipSeen(k) ==",
        Rule.NAMES,
        "ShipSeen(k) ==",
        "'ship_seen'",
    ),
    Break(
        "a command called like a record",
        "@command: ShipSeen;",
        "@command: Cask;",
        Rule.NAMES,
        "Answer(k) ==",
        "Cask",
    ),
    Break(
        "a machine called like a message",
        "@machine: Keeper(k);",
        "@machine: Burn(k);",
        Rule.NAMES,
        "MODULE Keeper",
        "Burn",
    ),
    # --- The vocabulary ---
    Break(
        "a field called by a keyword",
        "sealed: Bool };",
        "sealed: Bool, lambda: Int };",
        Rule.NAMES,
        "@typeAlias: cask",
        "lambda",
        "LampTypes",
    ),
    Break(
        "a field of an unknown type",
        "sealed: Bool };",
        "sealed: $wax };",
        Rule.TYPES,
        "@typeAlias: cask",
        "$wax",
        "LampTypes",
    ),
    Break(
        "a variant that is neither",
        "@typeAlias: keeperRequest",
        "@typeAlias: keeperWish",
        Rule.VOCABULARY,
        "@typeAlias: keeperWish",
        "neither",
        "LampTypes",
    ),
    Break(
        "a payload that is no record",
        "| Dusk({ night: Int })",
        "| Dusk(Int)",
        Rule.VOCABULARY,
        "@typeAlias: keeperInput",
        "neither UNIT nor",
        "LampTypes",
    ),
    Break(
        "a variant without a constructor",
        "| Dawn(UNIT)",
        "| Dawn(UNIT)\n\\*    | Noon(UNIT)",
        Rule.VOCABULARY,
        "@typeAlias: keeperInput",
        "Noon",
        "LampTypes",
    ),
    Break(
        "no empty message",
        "NoRequest(UNIT)",
        "NoWish(UNIT)",
        Rule.VOCABULARY,
        "@typeAlias: keeperRequest",
        "NoRequest",
        "LampTypes",
    ),
    Break(
        "a constructor of another name",
        'Dawn == Variant("Dawn", UNIT)',
        'Light == Variant("Dawn", UNIT)',
        Rule.VOCABULARY,
        "Light ==",
        "is called Light",
        "LampTypes",
    ),
    Break(
        "a constructor that turns its fields round",
        "Burn(cask, litres) ==",
        "Burn(litres, cask) ==",
        Rule.VOCABULARY,
        "Burn(litres, cask)",
        "in their order",
        "LampTypes",
    ),
    Break(
        "a constructor without a sentence",
        "\\* It gets light.\n",
        "",
        Rule.COMMENTS,
        "Dawn ==",
        "no sentence",
        "LampTypes",
    ),
    Break(
        "a record without a sentence",
        "\\* A cask and how much oil is in it.\n",
        "",
        Rule.COMMENTS,
        "@typeAlias: cask",
        "no sentence",
        "LampTypes",
    ),
]


def edited(folder: Path, break_: Break) -> str:
    """A copy of the lamp with the edit; the text of the edited module."""
    shutil.copytree(LAMP, folder, dirs_exist_ok=True)
    path = folder / f"{break_.file}.tla"
    text = path.read_text()
    assert text.count(break_.old) == 1, f"{break_.old!r} occurs {text.count(break_.old)} times"
    path.write_text(text.replace(break_.old, break_.new))
    return path.read_text()


def derive(sany, folder: Path) -> None:
    spec = sany.read(folder / "Keeper.tla", [SHIMS])
    derive_role(spec, folder, "", lambda path: path.name)


def test_the_lamp_itself_is_in_the_subset(sany, tmp_path):
    shutil.copytree(LAMP, tmp_path, dirs_exist_ok=True)
    derive(sany, tmp_path)


def cases():
    """The first break of each rule in every run, the others in the full lane: each starts a JVM."""
    seen: set[Rule] = set()
    for break_ in BREAKS:
        marks = [pytest.mark.full] if break_.rule in seen else []
        seen.add(break_.rule)
        yield pytest.param(break_, id=break_.name.replace(" ", "-"), marks=marks)


@pytest.mark.parametrize("break_", list(cases()))
def test_what_breaks_a_rule_is_refused(sany, tmp_path, break_):
    text = edited(tmp_path, break_)
    with pytest.raises(InvalidSpec) as refused:
        derive(sany, tmp_path)
    error = refused.value
    assert (error.rule, error.file) == (break_.rule.title, str(tmp_path / f"{break_.file}.tla"))
    assert break_.says in error.message
    assert error.line == text[: text.index(break_.line)].count("\n") + 1, str(error)
    assert error.cure
    assert all(part in str(error) for part in (f"{break_.file}.tla:{error.line}:", error.cure))


def test_an_action_without_its_mark_is_told_where_the_mark_belongs(sany, tmp_path):
    edited(tmp_path, next(break_ for break_ in BREAKS if break_.name == "neither"))
    with pytest.raises(InvalidSpec) as refused:
        derive(sany, tmp_path)
    assert refused.value.cure.startswith(r"\* @command: AnswerOrdered;  just above Answer(k) ==")
    assert "Told" not in refused.value.cure


def test_every_rule_is_broken_by_some_test():
    assert {break_.rule for break_ in BREAKS} == set(Rule)


def test_every_rule_has_its_section_on_the_page():
    headings = re.findall(r"^### (.+)$", PAGE.read_text(), re.MULTILINE)
    assert [heading.lower() for heading in headings] == [rule.title for rule in Rule]
