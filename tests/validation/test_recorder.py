"""A user's own test of a `LeaderElection`, recorded and validated."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from keepstep.errors import LocalViolation
from keepstep.shell.election import LeaderElection
from keepstep.testing.election.recorder import ElectionRecorder
from keepstep.testing.servers.ensemble import ZooKeeperServer
from keepstep.testing.servers.observer import TransactionLog
from keepstep.validation.recording import Input, free_file, read_recordings
from keepstep.validation.validator import Verdict
from keepstep.znodes.epoch import default_fence_path
from keepstep.znodes.operations import Create

pytestmark = [pytest.mark.zookeeper, pytest.mark.tools]

LATCH = "/jobs/leader"


def test_elections_on_threads_of_their_own_are_recorded_and_valid(tmp_path, validator):
    file = tmp_path / "run.jsonl"
    with ZooKeeperServer() as server:
        recorder = ElectionRecorder(file, source="a test")
        recorder.begin(LATCH, default_fence_path(LATCH))
        log = TransactionLog(server.data_directory)
        hosts = str(server.address)
        one = LeaderElection(LATCH, "one", hosts=hosts)
        two = LeaderElection(LATCH, "two", hosts=hosts)
        recorder.watch("one", one, log.read)
        recorder.watch("two", two, log.read)
        with one:
            assert one.wait_until_elected(10) == 1
            with two:
                one.write(Create("/result", b"1"))
                # Until the second one is in the queue, nobody else can lead.
                for _ in range(20):
                    one.resign()
                    if two.wait_until_elected(0.5):
                        break
                two.write(Create("/result/again", b"2"))
        recorder.transactions(log.read())
        recorder.end()
    (read,) = read_recordings(file)
    assert read.records == recorder.recording.records
    found = validator.validate(read)
    assert found.verdict is Verdict.VALID, str(found)
    assert {r.process for r in read.records if isinstance(r, Input)} == {"one", "two"}


def test_the_example_of_the_page_is_valid(capsys):
    page = (Path(__file__).parents[2] / "docs/how-to/validate-a-run.md").read_text()
    example = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    exec(example[1], {})  # noqa: S102
    assert capsys.readouterr().out.startswith("valid: ")


def test_a_recorder_records_one_election():
    recorder = ElectionRecorder()
    with pytest.raises(LocalViolation, match="was not told"):
        _ = recorder.recording
    recorder.begin(LATCH, default_fence_path(LATCH))
    with pytest.raises(LocalViolation, match="one election"):
        recorder.begin(LATCH, default_fence_path(LATCH))


def test_nothing_is_recorded_after_the_end():
    recorder = ElectionRecorder()
    recorder.begin(LATCH, default_fence_path(LATCH))
    recorder.started("one", "00000000-0000-4000-8000-000000000001")
    recorder.end()
    recorder.stopped("one")
    recorder.end()
    assert len(recorder.recording.records) == 2
    assert recorder.recording.complete


def test_a_recording_takes_a_name_that_is_free(tmp_path):
    assert free_file(tmp_path, "run", 3) == tmp_path / "run-00003.jsonl"
    for number in (3, 4, 6):
        (tmp_path / f"run-{number:05}.jsonl").touch()
    assert free_file(tmp_path, "run", 3) == tmp_path / "run-00005.jsonl"
    assert free_file(tmp_path, "walk", 3) == tmp_path / "walk-00003.jsonl"
