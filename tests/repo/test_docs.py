"""Pages, specification, models and class speak of the same things; each check has a control."""

from __future__ import annotations

import doctest
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from keepstep.cli.main import COMMANDS
from keepstep.roles.contender import Contender
from keepstep.testing import ZooKeeperServer
from keepstep.tla.manifest import load_manifest
from keepstep.tla.sources import Project, blank_comments

ROOT = Path(__file__).resolve().parents[2]
COMPOSITION = "spec/election/LeaderElection.tla"
VERIFY = "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/keepstep verify"
TEST = (
    "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]'"
    " && .venv/bin/pytest -n 2 --dist loadfile"
)
WANTED_BUGS = [f"A{number}" for number in (1, 2, 4, 5, 6, 7, 8, 10, 12, 16, 18, 28, 32, 33)]


def load_generator():
    found = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs/generate.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module
    found.loader.exec_module(module)
    return module


generator = load_generator()


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def manifest():
    return load_manifest(Project(ROOT))


# --- Generated pages ----------------------------------------------------------------------


@pytest.mark.parametrize("name", generator.CHEAP_PAGES)
def test_a_generated_page_is_as_it_would_be_written(name):
    assert read(f"docs/reference/{name}") == generator.page_text(name), (
        f"docs/reference/{name} is out of date: run python docs/generate.py"
    )


@pytest.mark.tools
@pytest.mark.full
@pytest.mark.timeout(600)
def test_the_counterexamples_are_as_they_would_be_written():
    name = "counterexamples.md"
    assert read(f"docs/reference/{name}") == generator.page_text(name)


def test_a_page_that_was_edited_is_noticed_and_written_again(tmp_path, monkeypatch):
    monkeypatch.setattr(generator, "REFERENCE", tmp_path)
    stale = list(generator.stale_pages(generator.CHEAP_PAGES, writing=True))
    assert stale == list(generator.CHEAP_PAGES)
    assert list(generator.stale_pages(generator.CHEAP_PAGES, writing=False)) == []
    page = tmp_path / "actions.md"
    page.write_text(page.read_text().replace("| syncing |", "| leading |", 1))
    assert list(generator.stale_pages(generator.CHEAP_PAGES, writing=False)) == ["actions.md"]


def test_every_wanted_bug_is_in_the_page_with_a_model_that_catches_it():
    rows = [line for line in read("docs/reference/known-bugs.md").splitlines() if "| " in line]
    missing = [
        entry
        for entry in WANTED_BUGS
        if not any(
            entry in generator.entries_of(row.split("|")[1]) and "`mutant-" in row for row in rows
        )
    ]
    assert missing == []


# --- Links --------------------------------------------------------------------------------

LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")


def pages() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\n")  # fmt: skip
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def without_code(text: str) -> str:
    text = re.sub(r"^(```+).*?^\1[ ]*$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", lambda found: "x" * len(found[0]), text)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as hosts of repositories make them."""
    without_blocks = re.sub(r"^(```+).*?^\1[ ]*$", "", text, flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.*)$", without_blocks, re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        found.add(re.sub(r"[^\w\- ]", "", words).replace(" ", "-"))
    return found


def broken_links(page: Path, text: str) -> list[str]:
    """The relative links of a page that lead nowhere."""
    broken = []
    for target in LINK.findall(without_code(text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path) if path else page
        if not place.exists():
            broken.append(target)
        elif anchor and place.suffix == ".md":
            there = text if place == page else place.read_text(encoding="utf-8")
            if anchor not in anchors(there):
                broken.append(target)
    return broken


def test_every_relative_link_leads_somewhere():
    found = {
        page.relative_to(ROOT).as_posix(): broken
        for page in pages()
        if (broken := broken_links(page, page.read_text(encoding="utf-8")))
    }
    assert found == {}


def test_a_link_that_leads_nowhere_is_found():
    text = (
        "# A page\n[here](spec/README.md) [there](spec/NOTHING.md) [up](#a-page) [down](#a-pit)\n"
        "`[code](nowhere.md)`\n```\n[block](nowhere.md)\n```\n[out](https://example.org/x)\n"
    )
    assert broken_links(ROOT / "README.md", text) == ["spec/NOTHING.md", "#a-pit"]


# --- The README ---------------------------------------------------------------------------


def test_the_readme_has_the_two_commands_and_ci_runs_the_second():
    readme = read("README.md").splitlines()
    assert VERIFY in readme
    assert TEST in readme
    ci = read(".ci/run")
    assert ".venv/bin/pytest -n 2 --dist loadfile" in ci


def test_the_readme_tells_of_every_command():
    told = set(re.findall(r"^\| `keepstep (\w+)", read("README.md"), re.MULTILINE))
    assert told == set(COMMANDS)


# --- Specification, models, class -----------------------------------------------------------


def promises(text: str) -> set[str]:
    """Invariants, properties and examples that a module defines."""
    return set(re.findall(r"^(\w+(?:Inv|Prop|Example)) *==", blank_comments(text), re.MULTILINE))


def orphans(text: str, used: set[str]) -> set[str]:
    """Promises that no model checks, neither by name nor within another that is checked."""
    code = blank_comments(text)
    bodies = dict(
        re.findall(r"^(\w+) *==(.*?)(?=^\w+(?:\([^)]*\))? *==|\Z)", code, re.MULTILINE | re.DOTALL)
    )
    seen, todo = set(), [name for name in used if name in bodies]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += [word for word in re.findall(r"\w+", bodies[name]) if word in bodies]
    return promises(text) - seen


def test_every_module_of_the_specification_is_part_of_a_model(manifest):
    project = Project(ROOT)
    covered = {
        path.resolve()
        for spec in {model.spec for model in manifest.models}
        for path in project.closure(ROOT / spec, shims=True).files.values()
    }
    modules = {path.resolve() for path in (ROOT / "spec").rglob("*.tla")}
    assert modules
    assert modules - covered == set()


def test_every_promise_is_checked_by_a_model(manifest):
    used = {name for model in manifest.models for name in model.names}
    text = read(COMPOSITION)
    assert len(promises(text)) > 15
    assert orphans(text, used) == set()


def test_a_promise_that_no_model_checks_is_found():
    text = read(COMPOSITION)
    used = promises(text) - {"OneFenceInv"}
    assert orphans(text, used) == {"OneFenceInv"}
    assert "EpochsAscendActionInv" not in orphans(text, {"EpochsAscendProp"})


def test_every_promise_must_hold_somewhere_and_fail_somewhere(manifest):
    """What holds in every model says nothing, and so does what fails in every model."""
    text = read(COMPOSITION)
    held = {
        name for model in manifest.models if model.expected != "VIOLATED" for name in model.names
    }
    failed = {model.violated for model in manifest.models if model.expected == "VIOLATED"}
    wanted = {name for name in promises(text) if not name.endswith(("Example", "ActionInv"))}
    assert wanted - held == set()
    assert wanted - failed == set()


def listed_actions(text: str, instance: str) -> set[str]:
    """The actions of an instance that the composition's list has."""
    return set(re.findall(rf"\b{instance}!([A-Z]\w*)\(", blank_comments(text)))


def class_actions() -> set[str]:
    return {
        str(next(iter(transition.on)).func)
        for state in Contender.states
        for transition in state.transitions
    }


def test_actions_of_the_specification_are_methods_of_the_class():
    text = read(COMPOSITION)
    code = blank_comments(text)
    behaviours = code.partition("\nReact(n) ==")[2].partition("\nNext ==")[0]
    listed = listed_actions(behaviours, "C")
    assert {generator.camel(name) for name in class_actions()} == listed
    for name in class_actions():
        assert callable(getattr(Contender, name))


def test_every_action_of_a_module_is_listed_in_the_composition():
    """What changes the mode or a port, and is listed nowhere, would never happen."""
    text = read(COMPOSITION)
    for module, instance in (("Contender", "C"), ("ElectionServer", "S")):
        code = blank_comments(read(f"spec/election/{module}.tla"))
        defined = re.findall(r"^([A-Z]\w*)(?:\([^)]*\))? *==((?:(?!^\S).*\n)*)", code, re.MULTILINE)
        actions = {name for name, body in defined if re.search(r"\w'\s*=|UNCHANGED", body)}
        actions -= {"Spend"}
        listed = set(re.findall(rf"\b{instance}!([A-Z]\w*)", blank_comments(text)))
        assert actions
        assert actions - listed == set()


def test_the_specifications_page_names_every_promise():
    page = read("spec/README.md")
    wanted = {name for name in promises(read(COMPOSITION)) if name.endswith(("Inv", "Prop"))}
    wanted -= {name for name in wanted if name.endswith("ActionInv")} | {"OneRequestInv"}
    assert {name for name in wanted if f"`{name}`" not in page} == set()


# --- What pages quote, and what they tell readers to do ------------------------------------

TUTORIAL = "docs/tutorial/from-the-spec-to-a-leader.md"
OWN_MODULE = "docs/how-to/derive-your-own-module.md"
CHECK_MODELS = "docs/how-to/check-models.md"
LEASE = ROOT / "docs/how-to/lease"


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def misquotes(text: str, language: str, sources: list[str]) -> list[str]:
    """Paragraphs of a page's code blocks that no source has; `...` stands for what is left out."""
    found = []
    for block in blocks(text, language):
        for part in re.split(r"\n\s*\n|^\s*\.\.\.\n", block, flags=re.MULTILINE):
            quoted = part.strip("\n")
            forms = [f"\n{quoted}\n", f"\n{textwrap.indent(quoted, '    ')}\n"]
            there = any(form in f"\n{source}" for source in sources for form in forms)
            if quoted.strip() and not there:
                found.append(quoted)
    return found


def sources_of(*patterns: str) -> list[str]:
    return [path.read_text(encoding="utf-8") for pattern in patterns for path in ROOT.glob(pattern)]


@pytest.mark.parametrize("page", [TUTORIAL, OWN_MODULE, CHECK_MODELS])
def test_what_a_page_quotes_of_the_specification_is_there(page):
    modules = sources_of("spec/**/*.tla", "docs/how-to/lease/spec/*.tla")
    models = sources_of("models/**/*.toml", "docs/how-to/lease/models/*.toml")
    assert misquotes(read(page), "tla", modules) == []
    assert misquotes(read(page), "toml", models) == []


def test_what_the_tutorial_quotes_of_the_class_is_there():
    assert misquotes(read(TUTORIAL), "python", sources_of("src/keepstep/roles/*.py")) == []


def test_a_wrong_quotation_is_found():
    changed = read(TUTORIAL).replace('![n] = "fencing"', '![n] = "leading"')
    assert misquotes(changed, "tla", sources_of("spec/**/*.tla")) != []


@pytest.mark.parametrize("page", ["README.md", TUTORIAL])
def test_what_a_page_types_into_python_answers_so(page):
    dialogue = [block for block in blocks(read(page), r"(?:python|console)") if ">>>" in block]
    assert dialogue
    names: dict[str, object] = {}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for block in dialogue:
        text = "\n".join(line for line in block.splitlines() if not line.startswith("$"))
        test = doctest.DocTestParser().get_doctest(text + "\n", names, page, page, 0)
        runner.run(test, clear_globs=False)
        names.update(test.globs)
    assert runner.tries >= len(dialogue)
    assert runner.failures == 0


@pytest.mark.tools
@pytest.mark.zookeeper
def test_the_example_of_the_readme_leads_and_writes(capsys):
    (example,) = [block for block in blocks(read("README.md"), "python") if "hosts=" in block]
    with ZooKeeperServer() as server:
        changed = example.replace("127.0.0.1:2181", str(server.address))
        assert changed != example
        exec(compile(changed, "README.md", "exec"), {})  # noqa: S102 - it is our own page
    assert capsys.readouterr().out == "leading, epoch 1\n"


@pytest.mark.tools
def test_the_lease_of_the_page_derives_checks_and_conforms(tmp_path):
    project = tmp_path / "project"
    shutil.copytree(LEASE, project, ignore=shutil.ignore_patterns("__pycache__"))
    (project / "models/shims").mkdir()
    shutil.copy(ROOT / "spec/Numbers.tla", project / "spec")
    shutil.copy(ROOT / "models/shims/Variants.tla", project / "models/shims")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("keepstep")), *arguments]
        environment = {**os.environ, "PYTHONPATH": "."}
        return subprocess.run(
            command, cwd=project, env=environment, capture_output=True, text=True, check=False
        )

    done = run("derive", "spec/Tenant.tla", "--to", "lease")
    assert done.returncode == 0, done.stderr
    derived = (project / "lease/tenant.py").read_text()
    (heart,) = [block for block in blocks(read(OWN_MODULE), "python") if "class Tenant" in block]
    assert heart in derived + "\n"
    for command in (["derive", "--check"], ["check"], ["conform"]):
        done = run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    # The control: the class of the page that goes to the wrong state.
    wrong = derived.replace("asking.to(idle,", "asking.to(holding,")
    assert wrong != derived
    (project / "lease/tenant.py").write_text(wrong)
    done = run("conform")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the class:         Accept (to 'holding', outbox NoRequest)" in done.stdout
