from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from keepstep.cli.ledger import command as ledger
from keepstep.cli.main import COMMANDS
from keepstep.cli.validate import command
from keepstep.errors import LocalViolation
from keepstep.validation.recording import encode, read_recordings, write_recordings
from keepstep.validation.validator import Reason, Verdict

from .tampering import TAMPERINGS

pytestmark = [pytest.mark.zookeeper, pytest.mark.tools]


@pytest.fixture
def files(handover, tmp_path):
    """A good recording, a falsified one, and what is none."""
    tamper = next(t for t in TAMPERINGS if t.__name__ == "forged_write")
    lines = [encode(r) for r in (handover.header, *handover.records)]
    found = {name: tmp_path / f"{name}.jsonl" for name in ("good", "bad", "cut", "corrupt", "old")}
    write_recordings(found["good"], [handover])
    write_recordings(found["bad"], [tamper(handover)])
    found["cut"].write_bytes(b"\n".join(lines)[:-200])
    found["corrupt"].write_bytes(b"\n".join([*lines[:4], b'{"kind":"inp', *lines[5:]]) + b"\n")
    header = json.loads(lines[0])
    header["spec"]["Contender"] = "0" * 64
    found["old"].write_bytes(b"\n".join([json.dumps(header).encode(), *lines[1:]]) + b"\n")
    return found


def run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_a_good_file_is_valid(files):
    result = run(files["good"])
    assert result.exit_code == 0, result.output
    assert "good.jsonl: valid: " in result.stdout
    assert result.stdout.splitlines()[-1].startswith("1 valid: ")
    assert "candidates a step" in result.stdout


def test_a_falsified_file_is_told_with_its_first_bad_record(files, tmp_path):
    prefix = tmp_path / "prefix.jsonl"
    result = run(files["good"], files["bad"], "--prefix", prefix)
    assert result.exit_code == 1
    assert f"{Reason.UNTOLD}" in result.stdout
    assert "the specification would have allowed here:" in result.stdout
    assert f"The shortest prefix that fails is in {prefix}." in result.stdout
    assert run(prefix).exit_code == 1
    (read,) = read_recordings(prefix)
    write_recordings(prefix, [read.prefix(len(read.records) - 1)])
    assert run(prefix).exit_code == 3


def test_json_holds_what_is_shown(files):
    result = run(files["bad"], "--json")
    told = json.loads(result.stdout)
    assert told["exit_code"] == result.exit_code == 1
    (found,) = told["recordings"]
    assert (found["verdict"], found["reason"]) == (Verdict.DIVERGES, Reason.UNTOLD)
    assert found["candidates"]["largest"] >= found["candidates"]["mean"] >= 1
    bad = found["first_bad"]
    assert bad["record"]["told"] == "WriteDone"
    assert bad["place"].startswith(str(files["bad"]))
    assert {"mode", "inbox", "link"} <= bad["possible_before"][0].keys()
    assert any(edge["label"] == "C!Lead" and edge["mode"] == "raising" for edge in found["edges"])


def test_a_file_that_is_cut_off_in_a_line_is_under_covered(files):
    result = run(files["cut"])
    assert result.exit_code == 3
    assert f"{Reason.TRUNCATED}" in result.stdout


def test_an_empty_file_is_under_covered(tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    result = run(empty)
    assert result.exit_code == 3
    assert "the recording is empty" in result.stdout


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("corrupt", "corrupt.jsonl:5: no record"),
        ("old", "old.jsonl:1: it was recorded for another version of the specification: Contender"),
    ],
)
def test_bad_input_is_named_and_hides_nothing(files, name, said):
    before = files[name].read_bytes()
    result = run(files[name], files["good"])
    assert result.exit_code == 2
    assert said in result.stderr
    assert "good.jsonl: valid: " in result.stdout
    assert files[name].read_bytes() == before


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"keepstep": 2, "protocol": "election"}, "has format 2"),
        ({"keepstep": 1, "protocol": "lock"}, "of the protocol 'lock'"),
        ({"kind": "end", "records": 0}, "no header"),
    ],
)
def test_a_header_that_is_not_understood_is_named(tmp_path, line, said):
    file = tmp_path / "run.jsonl"
    rest = {"spec": {}, "latch": "/a", "fence": "/b"}
    file.write_text(json.dumps({**line, **rest}) + "\n")
    result = run(file)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_file_that_is_not_there_is_named(tmp_path):
    result = run(tmp_path / "none.jsonl")
    assert result.exit_code == 2
    assert "cannot read" in result.stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'"does":"open"', b'"does":"opens"', "Invalid enum value 'opens'"),
        (b'"do":"create"', b'"do":"made"', "Invalid enum value 'made'"),
        (b'"zxid":"0x', b'"zxid":"', "matching regex"),
        (b'"session":"0x', b'"session":"', "matching regex"),
        (b'"path":"/', b'"path":"', "matching regex"),
        (b'"told":"Connected"', b'"told":"\xff"', "invalid start byte"),
        (b'"told":"Connected"', b'"told":"EpochRead"', "EpochRead has other fields"),
        (b'"content":{}', b'"content":{"more":1}', "has other fields than it can have: none"),
        (b'"ticket":null,', b"", "its facts are others than those of a contender"),
        (b'"servers":1', b'"servers":0', ">= 1"),
        (b'"log_read":"before', b'"log_read":"long before', "Invalid enum value"),
    ],
)
def test_a_word_that_does_not_exist_is_named_with_its_line(files, old, new, said):
    text = files["good"].read_bytes()
    assert old in text
    number = text[: text.index(old)].count(b"\n") + 1
    files["bad"].write_bytes(text.replace(old, new, 1))
    result = run(files["bad"])
    assert result.exit_code == 2
    assert f"bad.jsonl:{number}: " in result.stderr
    assert said in result.stderr


def test_a_value_of_the_wrong_kind_is_named_with_its_line(files):
    lines = files["good"].read_text().splitlines()
    number = next(n for n, line in enumerate(lines) if '"told":"TicketsListed"' in line)
    record = json.loads(lines[number])
    record["content"] = {"names": ["no ticket"]}
    lines[number] = json.dumps(record)
    files["bad"].write_text("\n".join(lines) + "\n")
    result = run(files["bad"])
    assert result.exit_code == 2
    assert f"bad.jsonl:{number + 1}: 'no ticket' is no name of a ticket" in result.stderr


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"fence": {"incarnation": [], "version": [], "epoch": 0}}, "[] is no int"),
        ({"fence": {"incarnation": "0", "version": True, "epoch": 0}}, "True is no int"),
        ({"fence": {"incarnation": "0", "version": 0, "epoch": 1.0}}, "1.0 is no int"),
        ({"session": ["0x1"]}, "unhashable"),
    ],
)
def test_a_fact_of_the_wrong_kind_is_named_with_its_line(files, facts, said):
    lines = files["good"].read_text().splitlines()
    number = next(n for n, line in enumerate(lines) if '"action":"Lead"' in line)
    record = json.loads(lines[number])
    lines[number] = json.dumps({**record, "facts": {**record["facts"], **facts}})
    files["bad"].write_text("\n".join(lines) + "\n")
    result = run(files["bad"])
    assert result.exit_code == 2
    assert f"bad.jsonl:{number + 1}: a field of it has a value that it cannot have" in result.stderr
    assert said in result.stderr


def test_a_line_that_is_nested_too_deeply_is_named(files):
    lines = files["good"].read_text().splitlines()
    nested = '{"a":' * 20_000 + "1" + "}" * 20_000
    record = json.loads(lines[5])
    lines[5] = json.dumps({**record, "nested": 0}).replace('"nested": 0', f'"nested": {nested}')
    files["bad"].write_text("\n".join(lines) + "\n")
    result = run(files["bad"], files["good"])
    assert result.exit_code == 2
    assert "bad.jsonl:6: no record" in result.stderr
    assert "good.jsonl: valid: " in result.stdout


@pytest.mark.parametrize(("file", "option"), [("bad", "--prefix"), ("good", "--itf")])
def test_what_cannot_be_written_is_named(files, tmp_path, file, option):
    result = run(files[file], option, tmp_path / "none" / "out")
    said = f"{result.stderr}{result.exception}"
    assert f"cannot write {tmp_path / 'none' / 'out'}: No such file or directory" in said
    assert result.exit_code == 2 or isinstance(result.exception, LocalViolation)
    (tmp_path / "taken").mkdir()
    run(files[file], option, tmp_path / "taken")
    assert not list(tmp_path.glob("*.partial"))


def test_several_recordings_may_stand_in_one_file(files, handover, tmp_path):
    both = tmp_path / "both.jsonl"
    write_recordings(both, [handover, handover])
    result = run(both, "--json")
    assert [found["line"] for found in json.loads(result.stdout)["recordings"]] == [
        1,
        len(handover.records) + 2,
    ]


def test_the_command_is_one_of_keepstep():
    assert COMMANDS["validate"][0] == "keepstep.cli.validate"
    result = CliRunner().invoke(command, ["--help"])
    assert result.exit_code == 0
    assert "--prefix" in result.output


def test_a_ledger_takes_valid_recordings_and_no_others(files, tmp_path):
    place = tmp_path / "ledger.json"
    added = CliRunner().invoke(
        ledger, ["--file", str(place), "--add", str(files["good"]), "--json"]
    )
    assert added.exit_code == 3, added.output
    before = place.read_bytes()
    edges = {
        (row["label"].removeprefix("C!"), row["mode"])
        for row in json.loads(added.stdout)["edges"]
        if row["runs"]
    }
    assert ("Resign", "leading") in edges
    refused = CliRunner().invoke(ledger, ["--file", str(place), "--add", str(files["bad"])])
    assert refused.exit_code == 1, refused.output
    assert place.read_bytes() == before
