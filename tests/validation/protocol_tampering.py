"""Ways to falsify a run of the lease lock, each with the reason for which it has to be refused.

`lease_handover` records it: tenant-1 takes the lease, tenant-2 waits; tenant-1 works, gives the
lease back, and takes it again before tenant-2 does.
"""

from __future__ import annotations

import msgspec

from keepstep.validation.recording import End, Input, Recording, Start, Stop
from keepstep.validation.validator import Reason

replace = msgspec.structs.replace
OWN = (Start, Input, Stop)


def renumbered(recording: Recording, records) -> Recording:
    """The recording with other records, as if nothing had ever been there."""
    numbers: dict[str, int] = {}
    found = []
    for record in records:
        if isinstance(record, OWN):
            number = numbers.get(record.process, 0)
            numbers[record.process] = number + 1
            found.append(replace(record, seq=number))
        elif not isinstance(record, End):
            found.append(record)
    return Recording(recording.header, (*found, End(len(found))), "the falsified run")


def place(recording, process, action, nth=0):
    """Where a step is."""
    return [
        number
        for number, record in enumerate(recording.records)
        if isinstance(record, Input) and record.process == process and record.action == action
    ][nth]


def edited(recording, number, **changes):
    records = list(recording.records)
    records[number] = replace(records[number], **changes)
    return renumbered(recording, records)


def without(recording, *numbers):
    return renumbered(recording, [r for at, r in enumerate(recording.records) if at not in numbers])


def inserted(recording, number, *new):
    records = list(recording.records)
    return renumbered(recording, [*records[:number], *new, *records[number:]])


# --- The falsifications -----------------------------------------------------------------------


def dropped_and_not_hidden(recording):
    records = list(recording.records)
    del records[place(recording, "tenant-1", "Take")]
    records[-1] = End(len(records) - 1)
    return Recording(recording.header, tuple(records), "the falsified run")


def dropped_step(recording):
    return without(recording, place(recording, "tenant-1", "Take"))


def dropped_return(recording):
    """The holder never gave the lease back, and looks as if it had."""
    give, finish = (place(recording, "tenant-1", each) for each in ("GiveBack", "Finish"))
    hold = recording.records[place(recording, "tenant-1", "Proceed")]
    without_both = without(recording, give, finish)
    number = place(without_both, "tenant-1", "Proceed")
    looks = {"after": "looking", "requests": recording.records[finish].requests}
    return edited(without_both, number, **looks, facts={**hold.facts, "term": None})


def doubled_step(recording):
    number = place(recording, "tenant-1", "Hold")
    return inserted(recording, number, recording.records[number])


def reordered_steps(recording):
    records = list(recording.records)
    one, other = (place(recording, "tenant-1", each) for each in ("Take", "Hold"))
    records[one], records[other] = records[other], records[one]
    return renumbered(recording, records)


def reordered_tenants(recording):
    """tenant-2 sees the lease before tenant-1 has asked for it."""
    records = list(recording.records)
    moved = [r for r in records if isinstance(r, OWN) and r.process == "tenant-2"][:3]
    rest = [r for r in records if r not in moved]
    number = next(at for at, r in enumerate(rest) if isinstance(r, Input) and r.action == "Take")
    return renumbered(recording, [*rest[:number], *moved, *rest[number:]])


def altered_term(recording):
    number = place(recording, "tenant-2", "Watch")
    content = {**recording.records[number].content, "term": 2}
    return edited(recording, number, content=content)


def altered_owner(recording):
    """tenant-2 sees a lease of its own, and waits for it."""
    number = place(recording, "tenant-2", "Watch")
    record = recording.records[number]
    return edited(recording, number, content={**record.content, "owner": record.facts["session"]})


def unknown_owner(recording):
    """The lease belongs to a session that nobody has."""
    number = place(recording, "tenant-2", "Watch")
    content = {**recording.records[number].content, "owner": "0x1dead0000000000"}
    return edited(recording, number, content=content)


def altered_action(recording):
    return edited(recording, place(recording, "tenant-2", "Watch"), action="Adopt")


def command_with_a_field(recording):
    return edited(recording, place(recording, "tenant-1", "GiveBack"), content={"term": 1})


def altered_mode(recording):
    return edited(recording, place(recording, "tenant-1", "Hold"), after="working")


def altered_fact(recording):
    number = place(recording, "tenant-1", "Hold")
    facts = {**recording.records[number].facts, "term": 7}
    return edited(recording, number, facts=facts)


def altered_request(recording):
    number = place(recording, "tenant-1", "Take")
    return edited(recording, number, requests=({"asks": "TakeLease", "term": 1},))


def forged_grant(recording):
    """A tenant is told of a grant that it never asked for."""
    grant = recording.records[place(recording, "tenant-1", "Hold")]
    number = place(recording, "tenant-2", "Watch")
    watch = recording.records[number]
    forged = replace(grant, process="tenant-2", before="waiting", facts={**watch.facts, "term": 1})
    return inserted(recording, number + 1, forged)


def two_holders(recording):
    """The lease of one term is granted to both."""
    grant = recording.records[place(recording, "tenant-1", "Hold", 1)]
    number = place(recording, "tenant-2", "Miss")
    refused = recording.records[number]
    both = replace(
        refused,
        told="Granted",
        content=grant.content,
        action="Hold",
        after="holding",
        facts={**refused.facts, "term": grant.content["term"]},
        requests=(),
    )
    return renumbered(recording, [*recording.records[:number], both])


def foreign_action(recording):
    return edited(recording, place(recording, "tenant-1", "Hold"), action="Seize")


def act_of_the_dead(recording):
    number = place(recording, "tenant-1", "Hold")
    return inserted(recording, number, Stop("tenant-1", 0))


TAMPERINGS = {
    dropped_and_not_hidden: Reason.SEQUENCE,
    dropped_step: Reason.STATE,
    dropped_return: Reason.RESULT,
    doubled_step: Reason.STATE,
    reordered_steps: Reason.STATE,
    reordered_tenants: Reason.UNTOLD,
    altered_term: Reason.CONTENT,
    altered_owner: Reason.CONTENT,
    unknown_owner: Reason.CONTENT,
    altered_action: Reason.ACTION,
    command_with_a_field: Reason.CONTENT,
    altered_mode: Reason.RESULT,
    altered_fact: Reason.RESULT,
    altered_request: Reason.RESULT,
    forged_grant: Reason.UNTOLD,
    two_holders: Reason.UNTOLD,
    foreign_action: Reason.FOREIGN,
    act_of_the_dead: Reason.SEQUENCE,
}

KINDS = {
    "dropped": dropped_step,
    "reordered": reordered_tenants,
    "altered payload": altered_owner,
    "forged grant": forged_grant,
    "two holders": two_holders,
    "altered action": altered_action,
}
"""One of each kind; TLC is asked about these."""


# --- By lot -----------------------------------------------------------------------------------


def altered_by_lot(recording, lot):
    """The recording with one thing altered, by a `random.Random`; it may still fit."""
    records = list(recording.records)
    steps = [at for at, r in enumerate(records) if isinstance(r, Input)]
    match lot.choice(["drop", "swap", "double", "term", "owner", "cut off"]):
        case "drop":
            del records[lot.choice(steps)]
        case "swap":
            number = lot.randrange(len(steps) - 1)
            one, other = steps[number], steps[number + 1]
            records[one], records[other] = records[other], records[one]
        case "double":
            number = lot.choice(steps)
            records.insert(number, records[number])
        case "term":
            number = lot.choice([at for at in steps if "term" in records[at].content])
            content = records[number].content
            changed = {**content, "term": content["term"] + lot.choice([-1, 1])}
            records[number] = replace(records[number], content=changed)
        case "owner":
            number = lot.choice([at for at in steps if "owner" in records[at].content])
            owners = sorted({r.facts["session"] for r in (records[at] for at in steps)}, key=str)
            changed = {**records[number].content, "owner": lot.choice(owners) or "0x1dead00000000"}
            records[number] = replace(records[number], content=changed)
        case "cut off":
            number = lot.choice(steps)
            process = records[number].process
            del records[number:]
            records = [*records, Stop(process, 0)]
    return renumbered(recording, records)
