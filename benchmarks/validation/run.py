"""Measure how fast recordings are validated; see README.md."""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections import Counter
from pathlib import Path

from keepstep.conformance.roles import read_spec
from keepstep.tla.sources import Project, shipped_root
from keepstep.validation.recording import COMPOSITION, Recording, read_recordings, spec_digests
from keepstep.validation.validator import Statistics, Validator

BAR = 20_000


def measure(validator: Validator, recordings: list[Recording]) -> tuple[float, Statistics, Counter]:
    """Steps in a second of processor time, how much there was to do, and the verdicts."""
    total, verdicts = Statistics(), Counter()
    began = time.process_time()
    for recording in recordings:
        found = validator.validate(recording)
        total.add(found.statistics)
        verdicts[str(found.verdict)] += 1
    return total.steps / (time.process_time() - began), total, verdicts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, help="recordings")
    files = parser.parse_args().files
    recordings = [recording for file in files for recording in read_recordings(file)]
    # Python's collector would look at all recordings that wait, again and again; in a campaign
    # none does.
    gc.freeze()
    project = Project(shipped_root())
    spec, digests = read_spec(project, project.root / COMPOSITION), spec_digests(project)

    validator = Validator(spec, digests)
    validator.candidates_for(recordings[0])
    fifths = [
        recordings[n * len(recordings) // 5 : (n + 1) * len(recordings) // 5] for n in range(5)
    ]
    began = time.process_time()
    parts = [measure(validator, part)[0] for part in fifths if part]
    first = time.process_time() - began
    again, total, verdicts = measure(validator, recordings)

    exact = Validator(spec, digests, exact=True)
    exact.candidates_for(recordings[0])
    slow, every, same = measure(exact, recordings)
    assert same == verdicts, "foresight has changed a verdict"

    what = f"{len(recordings)} recordings, {total.steps} steps, {total.events} events"
    print(f"{what}: {dict(verdicts)}")
    print(f"first time          {total.steps / first:>8.0f} steps/s (bar {BAR})")
    print(f"  by fifths         {', '.join(f'{rate:.0f}' for rate in parts)}")
    print(f"again               {again:>8.0f} steps/s")
    print(f"every candidate     {slow:>8.0f} steps/s")
    for name, found in {"every candidate": every, "with foresight": total}.items():
        print(f"candidates a step   {found.mean:.1f} on average, {found.largest} at most ({name})")
    print(f"longest window      {max(total.windows)} events")
    return 0 if total.steps / first >= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
