from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest

from keepstep.errors import ToolFailed
from keepstep.process import (
    Finished,
    Stopped,
    Supervisor,
    _remove_forsaken,
    java_command,
    scratch_folder,
)

FOREVER = "import time\nprint('up', flush=True)\ntime.sleep(600)\n"


def run(
    supervisor: Supervisor, tmp_path: Path, program: str, *, seconds: float = 30, **options: object
) -> Finished:
    command = [sys.executable, "-c", program]
    output = tmp_path / "output.txt"
    return supervisor.run(command, folder=tmp_path, output=output, seconds=seconds, **options)  # type: ignore[arg-type]


def is_gone(pid: int) -> bool:
    """Whether a process has ended; somebody else's child may stay a zombie until it is reaped."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


def test_output_and_exit_code_are_kept(supervisor: Supervisor, tmp_path: Path) -> None:
    seen: list[str] = []
    program = "import sys\nprint('one')\nprint('two', file=sys.stderr)\nsys.exit(12)"
    finished = run(supervisor, tmp_path, program, on_line=seen.append)
    assert finished.exit_code == 12
    assert finished.ended == "itself"
    assert sorted(finished.lines()) == ["one", "two"]
    assert sorted(seen) == ["one", "two"]


def test_the_process_id_is_told_once_it_runs(supervisor: Supervisor, tmp_path: Path) -> None:
    started: list[int] = []
    finished = run(supervisor, tmp_path, "import os; print(os.getpid())", on_start=started.append)
    assert [int(line) for line in finished.lines()] == started


def test_temporary_files_go_to_the_folder(supervisor: Supervisor, tmp_path: Path) -> None:
    finished = run(supervisor, tmp_path, "import tempfile; print(tempfile.gettempdir())")
    assert list(finished.lines()) == [str(tmp_path)]


def test_options_for_other_java_programs_are_not_passed_on(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx1m")
    program = "import os; print(os.environ.get('JAVA_TOOL_OPTIONS'))"
    assert list(run(supervisor, tmp_path, program).lines()) == ["None"]


def test_time_is_limited(supervisor: Supervisor, tmp_path: Path) -> None:
    finished = run(supervisor, tmp_path, FOREVER, seconds=0.5)
    assert finished.ended == "timeout"
    assert finished.seconds < 30


def test_memory_is_limited(supervisor: Supervisor, tmp_path: Path) -> None:
    program = "held = bytearray(400 * 2**20)\nfor i in range(0, len(held), 4096): held[i] = 1\n"
    finished = run(supervisor, tmp_path, program + FOREVER, memory_mb=100)
    assert finished.ended == "memory"


def test_memory_that_fits_is_left_alone(supervisor: Supervisor, tmp_path: Path) -> None:
    finished = run(supervisor, tmp_path, "import time; time.sleep(1)", memory_mb=1000)
    assert (finished.ended, finished.exit_code) == ("itself", 0)


def test_what_a_tool_started_ends_with_it(supervisor: Supervisor, tmp_path: Path) -> None:
    program = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
        " stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "print(child.pid)\n"
    )
    finished = run(supervisor, tmp_path, program)
    (pid,) = map(int, finished.lines())
    assert is_gone(pid)


def test_a_tool_that_ignores_termination_is_killed(supervisor: Supervisor, tmp_path: Path) -> None:
    program = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FOREVER
    finished = run(supervisor, tmp_path, program, seconds=0.7)
    assert finished.ended == "timeout"
    assert finished.exit_code == -signal.SIGKILL


def test_ending_all_leaves_nothing_running(supervisor: Supervisor, tmp_path: Path) -> None:
    program = f"import os\nprint(os.getpid(), flush=True)\n{FOREVER}"
    pids: list[int] = []
    running = threading.Event()
    stopped: list[bool] = []

    def note(line: str) -> None:
        if line.isdigit():
            pids.append(int(line))
        else:
            running.set()

    def work() -> None:
        try:
            run(supervisor, tmp_path, program, on_line=note)
        except Stopped:
            stopped.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    assert running.wait(20)
    supervisor.end_all()
    thread.join(20)
    assert stopped == [True]
    assert is_gone(pids[0])
    with pytest.raises(Stopped):
        run(supervisor, tmp_path, "print('never')")


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv of util-linux")
def test_a_tool_ends_even_if_keepstep_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from keepstep.process import Supervisor\n"
        "tool = 'import os, time; print(os.getpid(), flush=True); time.sleep(600)'\n"
        "Supervisor().run([sys.executable, '-c', tool], folder=Path('.'), output=Path('o'),"
        " seconds=600, on_line=lambda line: print(line, flush=True))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.kill()
    process.communicate(timeout=20)
    assert is_gone(pid)


def test_a_tool_that_is_not_there_is_named(supervisor: Supervisor, tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match="cannot start /nowhere/java"):
        supervisor.run(["/nowhere/java"], folder=tmp_path, output=tmp_path / "o", seconds=5)


def test_a_scratch_folder_is_gone_afterwards() -> None:
    with scratch_folder() as folder:
        (folder / "deep").mkdir()
        (folder / "deep/file").write_text("x")
    assert not folder.exists()


_KILLED = """
import os, signal, sys, tempfile
tempfile.tempdir = sys.argv[1]
from keepstep.process import scratch_folder
with scratch_folder():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_is_removed_by_a_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=False)
    old, young = sorted(tmp_path.iterdir(), key=lambda folder: folder.name)
    long_ago = time.time() - 3600
    os.utime(old, (long_ago, long_ago))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with scratch_folder() as used:
        os.utime(used, (long_ago, long_ago))
        _remove_forsaken.cache_clear()
        with scratch_folder():
            assert (old.exists(), young.exists(), used.exists()) == (False, True, True)


def test_a_java_command_limits_memory_and_keeps_its_files(tmp_path: Path) -> None:
    command = java_command(
        Path("/j/java"), [Path("a.jar"), Path("b.jar")], "Main", ["-x"], memory_mb=300,
        folder=tmp_path,
    )  # fmt: skip
    assert command[0] == "/j/java"
    assert "-Xmx300m" in command
    assert f"-Djava.io.tmpdir={tmp_path}" in command
    assert command[-4:] == ["-cp", f"a.jar{os.pathsep}b.jar", "Main", "-x"]
