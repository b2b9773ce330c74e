"""Ways to falsify a recording, each with the reason for which it has to be refused.

A falsification edits what `handover` recorded: contender-1 leads, writes and resigns, then
contender-2 leads.
"""

from __future__ import annotations

import msgspec

from keepstep.validation.recording import (
    Change,
    End,
    Input,
    Outcome,
    Recording,
    Start,
    Stop,
    Transaction,
)
from keepstep.validation.validator import Reason

replace = msgspec.structs.replace
OWN = (Start, Input, Outcome, Stop)


def renumbered(recording: Recording, records) -> Recording:
    """The recording with other records, as if nothing had ever been there."""
    numbers: dict[str, int] = {}
    found = []
    for place, record in enumerate(records):
        if isinstance(record, Transaction):
            found.append(replace(record, zxid=hex(0x100 + place)))
        elif isinstance(record, OWN):
            number = numbers.get(record.process, 0)
            numbers[record.process] = number + 1
            found.append(replace(record, seq=number))
        else:
            found.append(record)
    found[-1] = End(len(found) - 1)
    return Recording(recording.header, tuple(found), "the falsified run")


def place(recording, process="", action="", told="", nth=0, after=0):
    """Where a step is."""
    fits = [
        number
        for number, record in enumerate(recording.records)
        if isinstance(record, Input)
        and number >= after
        and (not process or record.process == process)
        and (not action or record.action == action)
        and (not told or record.told == told)
    ]
    return fits[nth]


def change_at(recording, do, part, nth=0):
    """Where a transaction is that has such an operation."""
    fits = [
        number
        for number, record in enumerate(recording.records)
        if isinstance(record, Transaction)
        and any(c.do == do and part in c.path for c in record.changes)
    ]
    return fits[nth]


def edited(recording, number, **changes):
    records = list(recording.records)
    records[number] = replace(records[number], **changes)
    return renumbered(recording, records)


def without(recording, number):
    return renumbered(recording, [r for at, r in enumerate(recording.records) if at != number])


def swapped(recording, one, other):
    records = list(recording.records)
    records[one], records[other] = records[other], records[one]
    return renumbered(recording, records)


def inserted(recording, number, *new):
    records = list(recording.records)
    return renumbered(recording, [*records[:number], *new, *records[number:]])


def own_steps(recording, process):
    return [
        at
        for at, r in enumerate(recording.records)
        if isinstance(r, Input) and r.process == process
    ]


# --- The falsifications -----------------------------------------------------------------------


def dropped_and_not_hidden(recording):
    records = list(recording.records)
    del records[place(recording, "contender-1", "Survey")]
    records[-1] = End(len(records) - 1)
    return Recording(recording.header, tuple(records), "the falsified run")


def dropped_step(recording):
    return without(recording, place(recording, "contender-1", "Rank"))


def doubled_step(recording):
    number = place(recording, "contender-1", "Rank")
    return inserted(recording, number, recording.records[number])


def reordered_steps(recording):
    steps = own_steps(recording, "contender-1")
    return swapped(recording, steps[1], steps[2])


def dropped_transaction(recording):
    return without(recording, change_at(recording, "create", "-latch-"))


def dropped_write(recording):
    return without(recording, change_at(recording, "create", "/writes/"))


def reordered_transactions(recording):
    return swapped(
        recording,
        change_at(recording, "create", "/latch"),
        change_at(recording, "create", "-latch-"),
    )


def altered_list(recording):
    number = place(recording, "contender-1", "Verify")
    return edited(recording, number, content={"names": []}, action="Join")


def altered_owner(recording):
    number = place(recording, "contender-1", told="TicketInspected")
    other = recording.records[place(recording, "contender-2", "Attach")].content["session"]
    return edited(recording, number, content={"session": other})


def altered_action(recording):
    return edited(recording, place(recording, "contender-2", "Wait"), action="Verify")


def altered_mode(recording):
    return edited(recording, place(recording, "contender-1", "Claim"), after="raising")


def altered_fact(recording):
    number = place(recording, "contender-1", "Verify")
    facts = dict(recording.records[number].facts, ticket=None)
    return edited(recording, number, facts=facts)


def altered_request(recording):
    number = place(recording, "contender-1", "Bid")
    (asked,) = recording.records[number].requests
    fence = dict(asked["fence"], version=asked["fence"]["version"] + 1)
    return edited(recording, number, requests=({**asked, "fence": fence},))


def altered_epoch(recording):
    number = change_at(recording, "set", "/keepstep/")
    changes = tuple(
        replace(c, version=c.version + 1) if c.do == "set" else c
        for c in recording.records[number].changes
    )
    return edited(recording, number, changes=changes)


def forged_write(recording):
    """A leader is told that a write was done which it never asked for."""
    number = place(recording, "contender-1", "Proceed")
    proceed = recording.records[number]
    write = recording.records[place(recording, "contender-1", "Write")]
    return inserted(recording, number + 1, write, proceed)


def forged_leader(recording):
    """Two leaders: the second one claims to have raised the epoch while the first one leads."""
    first = recording.records[place(recording, "contender-1", "Lead")]
    number = place(recording, "contender-2", "Wait")
    wait = recording.records[number]
    lead = replace(
        first,
        process="contender-2",
        before="waiting",
        facts={**first.facts, "session": wait.facts["session"]},
    )
    return inserted(recording, number + 1, lead)


def forged_success(recording):
    """Two leaders: the second one is told of a success that servers never granted."""
    number = place(recording, "contender-2", "Wait")
    records = list(recording.records)
    mine = next(n for n in records[number].content["names"] if not _belongs(recording, n))
    session = records[number].facts["session"]
    facts = {"session": session, "ticket": mine, "fence": None}
    verify = replace(
        records[number],
        content={"names": [mine]},
        action="Verify",
        after="verifying",
        facts=facts,
        requests=({"asks": "InspectTicket", "ticket": mine},),
    )
    return renumbered(recording, [*records[:number], verify, *records[number + 1 :]])


def _belongs(recording, name):
    start = next(r for r in recording.records if isinstance(r, Start))
    return start.node in name


def forged_session(recording):
    number = place(recording, "contender-1", "Attach")
    forged = "0xdead"
    records = []
    old = recording.records[number].content["session"]
    for record in recording.records:
        if isinstance(record, Input) and record.process == "contender-1":
            facts = dict(record.facts)
            content = dict(record.content)
            for field in (facts, content):
                if field.get("session") == old:
                    field["session"] = forged
            records.append(replace(record, facts=facts, content=content))
        else:
            records.append(record)
    return renumbered(recording, records)


def wrong_client(recording):
    """A ticket is drawn by the session of another contender."""
    number = change_at(recording, "create", "-latch-", nth=1)
    other = recording.records[place(recording, "contender-1", "Attach")].content["session"]
    return edited(recording, number, session=other)


def unfenced_write(recording):
    number = change_at(recording, "create", "/writes/")
    changes = tuple(c for c in recording.records[number].changes if c.do != "check")
    return edited(recording, number, changes=changes)


def unasked_write(recording):
    """A write is logged that its leader never asked for."""
    number = change_at(recording, "create", "/writes/")
    last = place(recording, "contender-1", "Proceed")
    return inserted(recording, last + 1, replace(recording.records[number], zxid="0x7fff"))


def unasked_delete(recording):
    """A contender deletes a ticket of its own and never asked for it."""
    number = place(recording, "contender-1", "Lead")
    lead = recording.records[number]
    header = recording.header
    gone = Transaction(
        "0x7ffe",
        lead.facts["session"],
        "write",
        (Change("delete", f"{header.latch}/{lead.facts['ticket']}"),),
    )
    return inserted(recording, number + 1, gone)


def unasked_raise(recording):
    """The epoch is raised once more by who has raised it."""
    number = change_at(recording, "set", "/keepstep/")
    changes = tuple(
        replace(c, version=c.version + 1, epoch=c.epoch + 1) if c.do == "set" else c
        for c in recording.records[number].changes
    )
    place_of_lead = place(recording, "contender-1", "Lead")
    raised = replace(recording.records[number], changes=changes)
    return inserted(recording, place_of_lead + 1, raised)


def more_in_a_write(recording):
    """A write under a fence deletes the ticket of another contender as well."""
    number = change_at(recording, "create", "/writes/")
    other = recording.records[change_at(recording, "create", "-latch-", nth=1)].changes[0].path
    changes = (*recording.records[number].changes, Change("delete", other))
    return edited(recording, number, changes=changes)


def more_in_the_founding(recording):
    number = change_at(recording, "create", "/keepstep/", nth=-1)
    path = f"{recording.header.fence}/another"
    changes = (*recording.records[number].changes, Change("create", path))
    return edited(recording, number, changes=changes)


def ephemeral_epoch(recording):
    number = change_at(recording, "create", "/keepstep/", nth=-1)
    made, founded = recording.records[number].changes
    return edited(recording, number, changes=(made, replace(founded, ephemeral=True)))


def swapped_zxids(recording):
    records = list(recording.records)
    one, other = [at for at, r in enumerate(records) if isinstance(r, Transaction)][:2]
    zxids = records[one].zxid, records[other].zxid
    records[one] = replace(records[one], zxid=zxids[1])
    records[other] = replace(records[other], zxid=zxids[0])
    return Recording(recording.header, tuple(records), "the falsified run")


def _session_of(recording, process):
    return recording.records[place(recording, process, "Attach")].content["session"]


def _opening(recording, process):
    session = _session_of(recording, process)
    return next(
        at
        for at, r in enumerate(recording.records)
        if isinstance(r, Transaction) and r.does == "open" and r.session == session
    )


def opened_twice(recording):
    number = _opening(recording, "contender-1")
    return inserted(recording, number + 1, recording.records[number])


def opened_late(recording):
    """A session of nobody's makes the directory, and begins after that."""
    number = change_at(recording, "create", "/latch")
    made = replace(recording.records[number], session="0xbeef")
    begun = Transaction("0x1", "0xbeef", "open")
    return inserted(without(recording, number), number, made, begun)


def closed_by_another(recording):
    """The end of a stranger's session takes the ticket of a contender."""
    number = change_at(recording, "create", "-latch-")
    path = recording.records[number].changes[0].path
    end = Transaction("0x1", "0xbeef", "close", deleted=(path,))
    return inserted(recording, number + 1, end)


def write_after_the_end(recording):
    number = change_at(recording, "create", "/writes/")
    end = Transaction("0x1", recording.records[number].session, "close")
    return inserted(recording, number, end)


def refused_out_of_nothing(recording):
    """A multi is refused before its contender has asked for any."""
    refusal = Transaction("0x1", _session_of(recording, "contender-1"), "refuse", refused=0)
    return inserted(recording, place(recording, "contender-1", "Attach") + 1, refusal)


def refused_first(recording):
    """A write is refused, and then it is done all the same: one request is served once."""
    number = change_at(recording, "create", "/writes/")
    session = recording.records[number].session
    return inserted(recording, number, Transaction("0x1", session, "refuse", refused=0))


def refused_and_done(recording):
    """The fence of a write is refused, and its leader is told that the write was done."""
    number = change_at(recording, "create", "/writes/")
    return edited(recording, number, does="refuse", changes=(), refused=0)


TAMPERINGS = {
    dropped_and_not_hidden: Reason.SEQUENCE,
    dropped_step: Reason.STATE,
    doubled_step: Reason.STATE,
    reordered_steps: Reason.STATE,
    dropped_transaction: Reason.UNTOLD,
    dropped_write: Reason.UNTOLD,
    reordered_transactions: Reason.IMPOSSIBLE,
    altered_list: Reason.CONTENT,
    altered_owner: Reason.CONTENT,
    altered_action: Reason.ACTION,
    altered_mode: Reason.RESULT,
    altered_fact: Reason.RESULT,
    altered_request: Reason.RESULT,
    altered_epoch: Reason.IMPOSSIBLE,
    forged_write: Reason.UNTOLD,
    forged_leader: Reason.UNTOLD,
    forged_success: Reason.CONTENT,
    forged_session: Reason.SESSION,
    wrong_client: Reason.UNSAFE,
    unfenced_write: Reason.UNSAFE,
    unasked_write: Reason.UNASKED,
    unasked_delete: Reason.UNASKED,
    unasked_raise: Reason.UNASKED,
    more_in_a_write: Reason.UNSAFE,
    more_in_the_founding: Reason.UNSAFE,
    ephemeral_epoch: Reason.UNSAFE,
    swapped_zxids: Reason.IMPOSSIBLE,
    opened_twice: Reason.IMPOSSIBLE,
    opened_late: Reason.IMPOSSIBLE,
    closed_by_another: Reason.IMPOSSIBLE,
    write_after_the_end: Reason.IMPOSSIBLE,
    refused_out_of_nothing: Reason.UNASKED,
    refused_first: Reason.UNTOLD,
    refused_and_done: Reason.UNTOLD,
}


# --- By lot -----------------------------------------------------------------------------------


def altered_by_lot(recording, lot):
    """The recording with one thing altered, by a `random.Random`; it may still fit."""
    records = list(recording.records)
    steps = [at for at, r in enumerate(records) if isinstance(r, Input)]
    writes = [
        at for at, r in enumerate(records) if isinstance(r, Transaction) and r.does == "write"
    ]
    match lot.choice(["drop step", "drop write", "swap steps", "swap writes", "double", "move"]):
        case "drop step":
            del records[lot.choice(steps)]
        case "drop write":
            del records[lot.choice(writes)]
        case "swap steps":
            place = lot.randrange(len(steps) - 1)
            _swap(records, steps[place], steps[place + 1])
        case "swap writes":
            place = lot.randrange(len(writes) - 1)
            _swap(records, writes[place], writes[place + 1])
        case "double":
            place = lot.choice(steps + writes)
            records.insert(place, records[place])
        case "move":
            place = lot.choice(writes)
            moved = records.pop(place)
            records.insert(min(len(records) - 1, place + lot.randrange(1, 4)), moved)
    return renumbered(recording, records)


def _swap(records, one, other):
    records[one], records[other] = records[other], records[one]
