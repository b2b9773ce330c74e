------------------------------- MODULE Contender -------------------------------
\* How does a node become the leader, and when does it stop?
\*
\* A contender draws a ticket (an ephemeral sequential znode) and waits until the
\* ticket just ahead of it is gone. Once first, it makes sure that the ticket
\* belongs to its present session, raises the epoch with a conditional write, and
\* leads; every write of its leadership is conditional on that epoch and on the
\* ticket. It stops leading as soon as it is told that its connection is down, or
\* that its last acknowledged write is too long ago, whichever comes first.
\*
\* Sources: Curator's LeaderLatch (layout, order of steps); CURATOR-696 (Verify),
\* CURATOR-724 (Restore), CURATOR-644 (Recheck never resets), KAFKA-6082 (Bid).
EXTENDS ElectionTypes, Numbers

CONSTANTS
    \* The contenders.
    \* @type: Set(NODE);
    NODES,
    \* What a leader may have to write.
    \* @type: Set(DUTY);
    DUTIES

\* @machine: Contender(n);
VARIABLES
    \* Where each contender is in its lifecycle.
    \* @type: NODE -> Str;
    \* @state
    mode,
    \* The session it was last told about, if any.
    \* @type: NODE -> Set(Int);
    \* @fact
    \* @optional
    session,
    \* The ticket it relies on, if any.
    \* @type: NODE -> Set($ticketName);
    \* @fact
    \* @optional
    ticket,
    \* The epoch that it raised and leads under, if it leads.
    \* @type: NODE -> Set($fence);
    \* @fact
    \* @optional
    fence,
    \* What it was told and has not read yet.
    \* @type: NODE -> $input;
    \* @inbox
    inbox,
    \* What it asked for and was not yet served.
    \* @type: NODE -> $request;
    \* @outbox
    request,
    \* Everything that is not a contender's.
    \* @type: WORLD;
    \* @world
    world

MODES == {
    "offline",     \* not connected; relies on nothing
    "syncing",     \* has asked its server to catch up
    "ranking",     \* has asked which tickets there are
    "restoring",   \* has asked for the parent of the tickets
    "joining",     \* has asked for a ticket
    "waiting",     \* has asked to be told when the ticket ahead changes
    "verifying",   \* is first; has asked who owns its ticket
    "discarding",  \* has asked to delete a ticket of an earlier session
    "fencing",     \* is first by right; has asked for the epoch
    "founding",    \* has asked to found the epoch of a new ensemble
    "raising",     \* has asked to raise the epoch
    "leading",     \* leads, nothing is asked
    "writing",     \* leads, has asked for a fenced write
    "leaving",     \* has asked to delete its ticket, to hand over
    "severing"     \* has asked to cut a connection that does not answer
}

\* --- What it reads out of its inbox ---

\* It was told this.
\* @type: (NODE, Str) => Bool;
Told(n, tag) == VariantTag(inbox[n]) = tag

\* The names it was told.
\* @type: NODE => Set($ticketName);
Names(n) == AsTicketsListed(inbox[n]).names

\* Our own tickets, of this session or of an earlier one.
\* @type: NODE => Set($ticketName);
OwnTickets(n) == { t \in Names(n) : t.node = n }

\* The number of the first of our own.
\* @type: NODE => Int;
OwnNumber(n) == Min({ t.number : t \in OwnTickets(n) })

\* The first of our own.
\* @type: NODE => $ticketName;
OwnTicket(n) == [node |-> n, number |-> OwnNumber(n)]

\* The tickets ahead of the first of our own.
\* @type: NODE => Set($ticketName);
TicketsAhead(n) == { t \in Names(n) : t.number < OwnNumber(n) }

\* The number of the nearest ticket ahead.
\* @type: NODE => Int;
NearestNumber(n) == Max({ t.number : t \in TicketsAhead(n) })

\* The nearest ticket ahead.
\* @type: NODE => $ticketName;
NearestAhead(n) ==
    The({ t \in TicketsAhead(n) : t.number = NearestNumber(n) })

\* We have a ticket, from this session or from an earlier one.
\* @type: NODE => Bool;
HasTicket(n) == OwnTickets(n) /= {}

\* Nobody is ahead of us.
\* @type: NODE => Bool;
IsFirst(n) == TicketsAhead(n) = {}

\* The ticket belongs to our present session.
\* @type: NODE => Bool;
IsOurs(n) == session[n] = {AsTicketInspected(inbox[n]).session}

Init ==
    /\ mode = [n \in NODES |-> "offline"]
    /\ session = [n \in NODES |-> {}]
    /\ ticket = [n \in NODES |-> {}]
    /\ fence = [n \in NODES |-> {}]
    /\ inbox = [n \in NODES |-> NoInput]
    /\ request = [n \in NODES |-> NoRequest]

\* --- Actions: the connection ---

\* Connected again: whatever we knew is void, and our server may be behind.
Attach(n) ==
    /\ mode[n] = "offline"
    /\ Told(n, "Connected")
    /\ mode' = [mode EXCEPT ![n] = "syncing"]
    /\ session' = [session EXCEPT ![n] = {AsConnected(inbox[n]).session}]
    /\ request' = [request EXCEPT ![n] = Sync]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<ticket, fence, world>>

\* The connection is down: stop leading at once and rely on nothing.
Suspend(n) ==
    /\ mode[n] /= "offline"
    /\ Told(n, "Suspended")
    /\ mode' = [mode EXCEPT ![n] = "offline"]
    /\ session' = [session EXCEPT ![n] = {}]
    /\ ticket' = [ticket EXCEPT ![n] = {}]
    /\ fence' = [fence EXCEPT ![n] = {}]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<request, world>>

\* Our last acknowledged write is too long ago: stop leading before our session
\* can end, and get rid of the connection that does not answer.
Lapse(n) ==
    /\ mode[n] \in {"leading", "writing"}
    /\ Told(n, "DeadlineReached")
    /\ mode' = [mode EXCEPT ![n] = "severing"]
    /\ ticket' = [ticket EXCEPT ![n] = {}]
    /\ fence' = [fence EXCEPT ![n] = {}]
    /\ request' = [request EXCEPT ![n] = CutConnection]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, world>>

\* A deadline of a leadership that is over: nothing depends on it any more.
Overlook(n) ==
    /\ mode[n] \notin {"leading", "writing"}
    /\ Told(n, "DeadlineReached")
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<mode, session, ticket, fence, request, world>>

\* --- Actions: a place in the queue ---

\* Our server has caught up: look which tickets there are.
Survey(n) ==
    /\ mode[n] = "syncing"
    /\ Told(n, "Synced")
    /\ mode' = [mode EXCEPT ![n] = "ranking"]
    /\ request' = [request EXCEPT ![n] = ListTickets]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, ticket, fence, world>>

\* The parent of the tickets is gone: put it back.
Restore(n) ==
    /\ mode[n] \in {"ranking", "joining"}
    /\ Told(n, "ParentGone")
    /\ mode' = [mode EXCEPT ![n] = "restoring"]
    /\ request' = [request EXCEPT ![n] = CreateParent]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, ticket, fence, world>>

\* The parent of the tickets is back: look again.
Resurvey(n) ==
    /\ mode[n] = "restoring"
    /\ Told(n, "ParentCreated")
    /\ mode' = [mode EXCEPT ![n] = "ranking"]
    /\ request' = [request EXCEPT ![n] = ListTickets]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, ticket, fence, world>>

\* No ticket is ours: draw one.
Join(n) ==
    /\ mode[n] = "ranking"
    /\ Told(n, "TicketsListed")
    /\ ~HasTicket(n)
    /\ mode' = [mode EXCEPT ![n] = "joining"]
    /\ request' = [request EXCEPT ![n] = CreateTicket]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, ticket, fence, world>>

\* Our ticket was drawn: find its place.
Rank(n) ==
    /\ mode[n] = "joining"
    /\ Told(n, "TicketCreated")
    /\ mode' = [mode EXCEPT ![n] = "ranking"]
    /\ request' = [request EXCEPT ![n] = ListTickets]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, ticket, fence, world>>

\* Somebody is ahead: watch the nearest of them only, to avoid a herd.
Wait(n) ==
    /\ mode[n] = "ranking"
    /\ Told(n, "TicketsListed")
    /\ HasTicket(n)
    /\ ~IsFirst(n)
    /\ mode' = [mode EXCEPT ![n] = "waiting"]
    /\ request' = [request EXCEPT ![n] = AwaitDeparture(NearestAhead(n))]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, ticket, fence, world>>

\* Something happened ahead of us: look again, and conclude nothing from it.
Recheck(n) ==
    /\ mode[n] = "waiting"
    /\ Told(n, "TicketChanged")
    /\ mode' = [mode EXCEPT ![n] = "ranking"]
    /\ request' = [request EXCEPT ![n] = ListTickets]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, ticket, fence, world>>

\* A ticket is gone, ours or the one ahead: find our place again.
Rerank(n) ==
    /\ mode[n] \in {"waiting", "verifying", "discarding", "raising", "leaving"}
    /\ Told(n, "TicketGone")
    /\ mode' = [mode EXCEPT ![n] = "ranking"]
    /\ ticket' = [ticket EXCEPT ![n] = {}]
    /\ request' = [request EXCEPT ![n] = ListTickets]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, fence, world>>

\* --- Actions: becoming the leader ---

\* Our ticket is first: a ticket of an earlier session must not make us leader.
Verify(n) ==
    /\ mode[n] = "ranking"
    /\ Told(n, "TicketsListed")
    /\ HasTicket(n)
    /\ IsFirst(n)
    /\ mode' = [mode EXCEPT ![n] = "verifying"]
    /\ ticket' = [ticket EXCEPT ![n] = {OwnTicket(n)}]
    /\ request' = [request EXCEPT ![n] = InspectTicket(OwnTicket(n))]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, fence, world>>

\* The first ticket is an old one of ours: take it away.
Discard(n) ==
    /\ mode[n] = "verifying"
    /\ Told(n, "TicketInspected")
    /\ ~IsOurs(n)
    /\ mode' = [mode EXCEPT ![n] = "discarding"]
    /\ request' = [request EXCEPT ![n] = DeleteTicket(The(ticket[n]))]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, ticket, fence, world>>

\* The first ticket is ours: learn the epoch that we must raise.
Claim(n) ==
    /\ mode[n] = "verifying"
    /\ Told(n, "TicketInspected")
    /\ IsOurs(n)
    /\ mode' = [mode EXCEPT ![n] = "fencing"]
    /\ request' = [request EXCEPT ![n] = ReadEpoch]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, ticket, fence, world>>

\* The ensemble has no epoch: found it.
Found(n) ==
    /\ mode[n] = "fencing"
    /\ Told(n, "EpochMissing")
    /\ mode' = [mode EXCEPT ![n] = "founding"]
    /\ request' = [request EXCEPT ![n] = FoundEpoch]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, ticket, fence, world>>

\* The ensemble has an epoch now: learn it.
Reread(n) ==
    /\ mode[n] = "founding"
    /\ Told(n, "EpochFounded")
    /\ mode' = [mode EXCEPT ![n] = "fencing"]
    /\ request' = [request EXCEPT ![n] = ReadEpoch]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, ticket, fence, world>>

\* Raise the epoch, unless somebody else does first.
Bid(n) ==
    /\ mode[n] = "fencing"
    /\ Told(n, "EpochRead")
    /\ mode' = [mode EXCEPT ![n] = "raising"]
    /\ request' = [request EXCEPT
        ![n] = RaiseEpoch(AsEpochRead(inbox[n]).fence, The(ticket[n]))]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, ticket, fence, world>>

\* The epoch is ours: every write of this leadership carries it.
Lead(n) ==
    /\ mode[n] = "raising"
    /\ Told(n, "EpochRaised")
    /\ mode' = [mode EXCEPT ![n] = "leading"]
    /\ fence' = [fence EXCEPT ![n] = {AsEpochRaised(inbox[n]).fence}]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, ticket, request, world>>

\* Somebody raised the epoch before us: find out whether we are still first.
GiveWay(n) ==
    /\ mode[n] = "raising"
    /\ Told(n, "EpochMoved")
    /\ mode' = [mode EXCEPT ![n] = "ranking"]
    /\ ticket' = [ticket EXCEPT ![n] = {}]
    /\ request' = [request EXCEPT ![n] = ListTickets]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, fence, world>>

\* --- Actions: leading ---

\* There is something to write; a leader without other duties has its heartbeat.
\* @type: (NODE, DUTY) => Bool;
\* @command: DutyDue;
Write(n, duty) ==
    /\ mode[n] = "leading"
    /\ mode' = [mode EXCEPT ![n] = "writing"]
    /\ request' = [request EXCEPT
        ![n] = WriteFenced(The(fence[n]), The(ticket[n]), duty)]
    /\ UNCHANGED <<session, ticket, fence, inbox, world>>

\* The write is decided, and we still lead.
Proceed(n) ==
    /\ mode[n] = "writing"
    /\ Told(n, "WriteDone")
    /\ mode' = [mode EXCEPT ![n] = "leading"]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, ticket, fence, request, world>>

\* Somebody else leads, or our ticket is gone: stop leading and touch nothing.
StepDown(n) ==
    /\ mode[n] = "writing"
    /\ Told(n, "WriteRefused")
    /\ mode' = [mode EXCEPT ![n] = "ranking"]
    /\ ticket' = [ticket EXCEPT ![n] = {}]
    /\ fence' = [fence EXCEPT ![n] = {}]
    /\ request' = [request EXCEPT ![n] = ListTickets]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, world>>

\* We are to hand over: stop leading, then give our ticket back.
\* @command: ResignOrdered;
Resign(n) ==
    /\ mode[n] = "leading"
    /\ mode' = [mode EXCEPT ![n] = "leaving"]
    /\ fence' = [fence EXCEPT ![n] = {}]
    /\ request' = [request EXCEPT ![n] = DeleteTicket(The(ticket[n]))]
    /\ UNCHANGED <<session, ticket, inbox, world>>
================================================================================
