"""Which edges of the specification real servers have shown, kept from run to run.

An edge is an action and the mode of its node before it. Whoever has watched contenders on real
servers adds a `Run`: how often it saw each edge, in how many examples, and beside which faults.
A ledger is a file of runs; what it says of an edge is computed from them, so that ledgers of
several machines can be merged, and the same run counts once however often it is merged in.

Runs belong to a version of the specification: they are kept under the digest of its modules,
and another version begins with nothing seen. There are no clocks; runs are in the order in
which they were added.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import filelock
import msgspec

from keepstep.checkers.toolchain import cache_folder
from keepstep.errors import LocalViolation
from keepstep.tla.sources import Project
from keepstep.validation.recording import Fault, encode, spec_digests
from keepstep.validation.validator import Edge, Validation

__all__ = [
    "Entry",
    "Ledger",
    "Run",
    "Seen",
    "Witness",
    "default_ledger",
    "modules_of",
    "plain_name",
    "spec_version",
    "update",
    "witness_of",
]

FORMAT = 1
_LOCK_PATIENCE = 30.0


class Seen(msgspec.Struct):
    """What one run has seen of an edge.

    Attributes:
        times: How often it was taken.
        examples: In how many examples of the run.
        faults: In how many of them each kind of fault happened.
        under: How often it was taken under each fault, where that is known: while the fault was
            under way, or as the latest one before.
    """

    times: int = 0
    examples: int = 0
    faults: dict[str, int] = {}
    under: dict[str, int] = {}


class Run(msgspec.Struct, forbid_unknown_fields=True):
    """One campaign, suite or recording.

    Attributes:
        source: Who watched: `suite`, `campaign`, `recording`.
        server: Version of the servers, or "" if it is not known.
        servers: How many there were.
        seed: What repeats its choices, if anything does.
        examples: How many elections it watched.
        edges: What it saw, by label and mode: `C!Attach@offline`.
        order: Its place among the runs of its ledger.
        mark: What tells it from another one that saw the same, or "".
    """

    source: str
    server: str = ""
    servers: int = 1
    seed: int | None = None
    examples: int = 0
    edges: dict[str, Seen] = {}
    order: int = 0
    mark: str = ""


class _Version(msgspec.Struct):
    """The runs on one version of the specification."""

    spec: dict[str, str]
    runs: dict[str, Run] = {}


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """A ledger as it stands in its file."""

    keepstep_ledger: int = msgspec.field(name="keepstep-ledger")
    versions: dict[str, _Version]


@dataclass(frozen=True, slots=True)
class Entry:
    """What all runs have seen of an edge.

    Attributes:
        times: How often it was taken.
        examples: In how many examples.
        runs: In how many runs.
        faults: In how many examples each kind of fault happened beside it.
        under: How often it was taken under each fault, where that is known.
        servers: In how many runs on each kind of servers: `3.9.5 x 3`.
        first: The first run that saw it.
        last: The last run that saw it.
    """

    times: int
    examples: int
    runs: int
    faults: Counter[str]
    under: Counter[str]
    servers: Counter[str]
    first: str
    last: str


def spec_version(spec: Mapping[str, str]) -> str:
    """A short name for a version of the specification, from the digests of its modules."""
    text = json.dumps(dict(spec), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def plain_name(label: str) -> str:
    """The name of an action without its instance: `C!Attach` is `Attach`.

    A composition may give an action a name of its own, so that one machine knows as `Resign`
    what another knows as `C!Resign`.
    """
    return label.rpartition("!")[2]


def _key(edge: Edge) -> str:
    return f"{edge.label}@{edge.mode}"


def _edge(key: str) -> Edge:
    label, _, mode = key.partition("@")
    return Edge(label, mode)


class Witness:
    """Gathers what one run sees, example by example.

    Args:
        source: Who watches.
        server: Version of the servers, or "".
        servers: How many there are.
        seed: What repeats its choices, if anything does.
        mark: What tells the run from another one that sees the same, or "".
    """

    def __init__(
        self,
        source: str,
        *,
        server: str = "",
        servers: int = 1,
        seed: int | None = None,
        mark: str = "",
    ) -> None:
        self.run = Run(source, server, servers, seed, edges={}, mark=mark)

    def note(
        self,
        edges: Mapping[Edge, int],
        faults: Iterable[str] = (),
        under: Mapping[tuple[Edge, str], int] | None = None,
    ) -> None:
        """Add an example.

        Args:
            edges: How often it took each edge.
            faults: The kinds of faults in it.
            under: How often it took an edge under a fault; edges that `edges` lacks are left
                out.
        """
        kinds = sorted(set(faults))
        self.run.examples += 1
        for edge, times in edges.items():
            if times:
                seen = self.run.edges.setdefault(_key(edge), Seen(faults={}, under={}))
                seen.times += times
                seen.examples += 1
                for kind in kinds:
                    seen.faults[kind] = seen.faults.get(kind, 0) + 1
        # The composition may call an action otherwise than the role module does.
        names = {(plain_name(edge.label), edge.mode): _key(edge) for edge in edges if edges[edge]}
        for (edge, kind), times in (under or {}).items():
            if key := names.get((plain_name(edge.label), edge.mode)):
                table = self.run.edges[key].under
                table[kind] = table.get(kind, 0) + times

    @property
    def identity(self) -> str:
        """A name for the run, from what it is and what it saw: the same run has the same."""
        run = msgspec.structs.replace(self.run, order=0)
        digest = hashlib.sha256(msgspec.json.encode(run, order="deterministic")).hexdigest()
        return f"{run.source}-{digest[:12]}"


@dataclass(slots=True)
class Ledger:
    """What was seen on one version of the specification.

    Attributes:
        spec: SHA-256 of each of its modules, by name.
        runs: By identity, in the order in which they were added.
        others: The runs on other versions, which are kept and count nothing here.
    """

    spec: dict[str, str]
    runs: dict[str, Run] = field(default_factory=dict)
    others: dict[str, _Version] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, spec: Mapping[str, str]) -> Ledger:
        """Read a ledger; one that is not there has seen nothing.

        Args:
            path: Its file.
            spec: SHA-256 of each module of the specification, by name.

        Raises:
            LocalViolation: The file holds something else, or cannot be read.
        """
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return cls(dict(spec))
        except OSError as error:
            raise LocalViolation(f"{path} cannot be read: {error.strerror}") from None
        try:
            found = msgspec.json.decode(text, type=_File)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise LocalViolation(
                f"{path} is no ledger: {error}; put it aside, and a new one is begun"
            ) from None
        if found.keepstep_ledger != FORMAT:
            raise LocalViolation(
                f"{path} has format {found.keepstep_ledger}, this keepstep reads format {FORMAT}"
            )
        for name, version in found.versions.items():
            if spec_version(version.spec) != name:
                raise LocalViolation(f"{path} was altered by hand: {name} is of other modules")
        mine = found.versions.pop(spec_version(spec), None)
        runs = mine.runs if mine else {}
        ordered = dict(sorted(runs.items(), key=lambda item: (item[1].order, item[0])))
        return cls(dict(spec), ordered, found.versions)

    def write(self, path: Path) -> None:
        """Write the ledger; a reader sees the old file or the new one, never half of it.

        Raises:
            LocalViolation: The file cannot be written.
        """
        versions = dict(self.others)
        if self.runs:
            versions[spec_version(self.spec)] = _Version(self.spec, self.runs)
        document = _File(FORMAT, dict(sorted(versions.items())))
        text = msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=1)
        name = ""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            with os.fdopen(handle, "wb") as stream:
                stream.write(text + b"\n")
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except OSError as error:
            if name:
                Path(name).unlink(missing_ok=True)
            raise LocalViolation(f"cannot write {path}: {error.strerror}") from None

    def add(self, witness: Witness) -> bool:
        """Add a run.

        Returns:
            Whether it is new; a run that is there already, or that saw nothing, changes nothing.
        """
        if not witness.run.edges or witness.identity in self.runs:
            return False
        order = 1 + max((run.order for run in self.runs.values()), default=0)
        self.runs[witness.identity] = msgspec.structs.replace(witness.run, order=order)
        return True

    def merge(self, other: Ledger) -> int:
        """Add the runs of another ledger, after those that are here.

        Returns:
            How many of them, on this version of the specification, are new.
        """
        after = max((run.order for run in self.runs.values()), default=0)
        new = {name: run for name, run in other.runs.items() if name not in self.runs}
        for name, run in new.items():
            self.runs[name] = msgspec.structs.replace(run, order=after + run.order)
        for version, theirs in other.others.items():
            mine = self.others.setdefault(version, _Version(theirs.spec, {}))
            mine.runs = {**theirs.runs, **mine.runs}
        return len(new)

    def counts(self) -> Counter[Edge]:
        """How often each edge was taken, in all runs."""
        found: Counter[Edge] = Counter()
        for run in self.runs.values():
            for key, seen in run.edges.items():
                found[_edge(key)] += seen.times
        return found

    def entries(self) -> dict[Edge, Entry]:
        """What was seen of each edge, in the order of labels and modes."""
        having: dict[str, list[str]] = {}
        for name, run in self.runs.items():
            for key in run.edges:
                having.setdefault(key, []).append(name)
        return {_edge(key): self._entry(key, having[key]) for key in sorted(having)}

    def _entry(self, key: str, names: list[str]) -> Entry:
        seen = [self.runs[name].edges[key] for name in names]
        faults: Counter[str] = Counter()
        under: Counter[str] = Counter()
        for one in seen:
            faults.update(one.faults)
            under.update(one.under)
        return Entry(
            times=sum(one.times for one in seen),
            examples=sum(one.examples for one in seen),
            runs=len(names),
            faults=faults,
            under=under,
            servers=Counter(_servers(self.runs[name]) for name in names),
            first=names[0],
            last=names[-1],
        )

    @property
    def elsewhere(self) -> int:
        """How many runs are on other versions of the specification."""
        return sum(len(version.runs) for version in self.others.values())


def _servers(run: Run) -> str:
    return f"{run.server or 'unknown version'} x {run.servers}"


def default_ledger() -> Path:
    """The ledger of this user, in the folder for caches.

    Raises:
        ToolFailed: That folder cannot be made or written.
    """
    return cache_folder() / "ledger.json"


@contextmanager
def update(path: Path, spec: Mapping[str, str]) -> Iterator[Ledger]:
    """Read a ledger, change it in the block, write it; others who do so wait meanwhile.

    If the block raises, nothing is written.

    Raises:
        LocalViolation: The file holds something else, cannot be written, or somebody else has
            been changing it for half a minute.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(f"{path}.lock", timeout=_LOCK_PATIENCE)
        with lock:
            ledger = Ledger.read(path, spec)
            yield ledger
            ledger.write(path)
    except filelock.Timeout:
        raise LocalViolation(f"{path} is being changed by somebody else") from None
    except OSError as error:
        raise LocalViolation(f"cannot write {path}: {error.strerror or error}") from None


def modules_of(project: Project) -> dict[str, str]:
    """The digests by which versions of the specification are told apart."""
    return spec_digests(project)


def witness_of(validation: Validation) -> Witness:
    """What a valid recording has seen."""
    recording = validation.recording
    header = recording.header
    digest = hashlib.sha256(b"\n".join(map(encode, recording.records))).hexdigest()
    witness = Witness(
        "recording",
        server=header.server,
        servers=header.servers,
        seed=header.seed,
        mark=f"{header.latch} {digest}",
    )
    kinds = [record.what for record in recording.records if isinstance(record, Fault)]
    witness.note(validation.edges, kinds)
    return witness
