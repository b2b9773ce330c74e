------------------------------- MODULE LeaseServer -----------------------------
\* What does ZooKeeper do with the requests of tenants, and to them?
\*
\* The lock is a znode whose version is the term; the lease is an ephemeral below
\* it. Modelled: one atomic request at a time; sessions that end at any time,
\* whatever their clients believe; contact that is lost before a client is told;
\* requests in flight at that moment, applied unheard, or late, or never; clients
\* that give a session up and begin another; watches that fire once and are lost
\* with the connection; a lease that somebody else deletes. FEATURES says which of
\* these a model contains, and FAULTS bounds how many happen.
\*
\* Abstracted: servers that are behind. What a tenant reads decides nothing: each
\* write is conditional on the term that was read.
EXTENDS LeaseTypes

CONSTANTS
    \* The tenants.
    \* @type: Set(NODE);
    NODES,
    \* What the environment may do beyond losing contact; see the actions.
    \* @type: Set(Str);
    FEATURES,
    \* How many faults may happen.
    \* @type: Int;
    FAULTS

\* A lease that is out: its session, and the term that began with it.
\* @typeAlias: lease = { owner: Int, since: Int };

\* A request that is on its way though its connection is lost, and its session.
\* @typeAlias: leaseFlight = { session: Int, request: $leaseRequest };

\* Work that was accepted: under which term, and whose.
\* @typeAlias: work = { term: Int, node: NODE };
server_typedefs == TRUE

VARIABLES
    \* The version of the lock: the last term that was begun.
    \* @type: Int;
    version,
    \* The lease that is out, if one is.
    \* @type: Set($lease);
    lease,
    \* How many sessions there were; each is called by its number.
    \* @type: Int;
    opened,
    \* The present session of each node; 0 before the first.
    \* @type: NODE -> Int;
    sessions,
    \* The sessions that did not end.
    \* @type: Set(Int);
    live,
    \* How each node is connected: up, cut, warned (cut, and the deadline is
    \* reached), down (cut, and the node was told).
    \* @type: NODE -> Str;
    link,
    \* The requests of each node that may still be applied, unheard.
    \* @type: NODE -> Set($leaseFlight);
    late,
    \* The lease that each node has a watch on, if any.
    \* @type: NODE -> Set($lease);
    watched,
    \* How many faults happened.
    \* @type: Int;
    faults,
    \* The last work accepted, if any. For properties only.
    \* @type: Set($work);
    ghostWork,
    \* What each node was told and has not read yet.
    \* @type: NODE -> $leaseInput;
    inbox,
    \* What each node asked for and was not yet served.
    \* @type: NODE -> $leaseRequest;
    request,
    \* Everything that is neither the server's nor a port.
    \* @type: WORLD;
    world

dataVars == <<version, lease, ghostWork>>
sessionVars == <<opened, sessions, live>>
connectionVars == <<link, late, watched>>
portVars == <<inbox, request>>

\* --- What is the case ---

\* A model contains a feature.
\* @type: Str => Bool;
Allows(feature) == feature \in FEATURES

\* Another fault may happen.
MaySpend == faults < FAULTS

\* A fault happens.
Spend == MaySpend /\ faults' = faults + 1

\* The ensemble has not ended the present session of a node.
\* @type: NODE => Bool;
IsAlive(n) == sessions[n] \in live

\* Nothing waits to be read by a node.
\* @type: NODE => Bool;
IsIdle(n) == VariantTag(inbox[n]) = "NoInput"

\* A request of a node can be served and answered.
\* @type: (NODE, Str) => Bool;
CanServe(n, tag) ==
    /\ VariantTag(request[n]) = tag
    /\ link[n] = "up"
    /\ IsAlive(n)
    /\ IsIdle(n)

\* The writes; only they matter once nobody listens.
WRITES == {"TakeLease", "RenewLease", "DoWork", "ReturnLease"}

\* What a node asks for, as a flight: one, or none if it reads.
\* @type: NODE => Set($leaseFlight);
Flights(n) ==
    IF VariantTag(request[n]) \in WRITES
    THEN {[session |-> sessions[n], request |-> request[n]]}
    ELSE {}

\* What may still be applied after a node connected again.
\* @type: NODE => Set($leaseFlight);
Pending(n) == IF Allows("late") THEN late[n] ELSE {}

\* The lease without what a session owned.
\* @type: Int => Set($lease);
LeaseWithout(session) == { l \in lease : l.owner /= session }

\* The requests of a node without those of a session.
\* @type: (NODE, Int) => Set($leaseFlight);
LateWithout(n, session) == { f \in late[n] : f.session /= session }

\* Each write succeeds if this holds, all of it or nothing.
\* @type: $leaseRequest => Bool;
Passes(asked) ==
    LET tag == VariantTag(asked) IN
    IF tag = "TakeLease" THEN
        version = AsTakeLease(asked).term /\ lease = {}
    ELSE IF tag = "RenewLease" THEN
        version = AsRenewLease(asked).term /\ lease /= {}
    ELSE IF tag = "DoWork" THEN version = AsDoWork(asked).term
    ELSE IF tag = "ReturnLease" THEN
        version = AsReturnLease(asked).term /\ lease /= {}
    ELSE FALSE

\* The version after a write that succeeds.
\* @type: $leaseRequest => Int;
VersionAfter(asked) ==
    IF VariantTag(asked) \in {"TakeLease", "RenewLease"}
    THEN version + 1 ELSE version

\* The lease after a write that succeeds.
\* @type: ($leaseRequest, Int) => Set($lease);
LeaseAfter(asked, session) ==
    LET tag == VariantTag(asked) IN
    IF tag = "TakeLease" THEN {[owner |-> session, since |-> version + 1]}
    ELSE IF tag = "ReturnLease" THEN {}
    ELSE lease

\* The last work after a write that succeeds.
\* @type: ($leaseRequest, NODE) => Set($work);
WorkAfter(asked, n) ==
    IF VariantTag(asked) = "DoWork"
    THEN {[term |-> AsDoWork(asked).term, node |-> n]} ELSE ghostWork

Init ==
    /\ version = 0
    /\ lease = {}
    /\ opened = 0
    /\ sessions = [n \in NODES |-> 0]
    /\ live = {}
    /\ link = [n \in NODES |-> "down"]
    /\ late = [n \in NODES |-> {}]
    /\ watched = [n \in NODES |-> {}]
    /\ faults = 0
    /\ ghostWork = {}

\* --- Connections ---

\* A node is connected under a new session.
Open(n) ==
    /\ opened' = opened + 1
    /\ sessions' = [sessions EXCEPT ![n] = opened + 1]
    /\ live' = live \union {opened + 1}
    /\ link' = [link EXCEPT ![n] = "up"]
    /\ late' = [late EXCEPT ![n] = Pending(n)]
    /\ inbox' = [inbox EXCEPT ![n] = Connected(opened + 1)]
    /\ request' = [request EXCEPT ![n] = NoRequest]

\* Connect for the first time, or after the session ended.
OpenSession(n) ==
    /\ link[n] = "down"
    /\ IsIdle(n)
    /\ ~IsAlive(n)
    /\ Open(n)
    /\ UNCHANGED <<dataVars, watched, faults, world>>

\* Give up a session that lives, as a process does that begins anew, and connect
\* under another. The server ends the old one when it has been silent for long.
Abandon(n) ==
    /\ Allows("abandon")
    /\ link[n] = "down"
    /\ IsIdle(n)
    /\ IsAlive(n)
    /\ Open(n)
    /\ UNCHANGED <<dataVars, watched, faults, world>>

\* Connect again, in time to keep the session.
Reconnect(n) ==
    /\ link[n] = "down"
    /\ IsIdle(n)
    /\ IsAlive(n)
    /\ link' = [link EXCEPT ![n] = "up"]
    /\ late' = [late EXCEPT ![n] = Pending(n)]
    /\ inbox' = [inbox EXCEPT ![n] = Connected(sessions[n])]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<dataVars, sessionVars, watched, faults, world>>

\* Contact is lost. What is in flight may be applied or not; nobody will hear.
\* Watches are lost with the connection.
Disconnect(n) ==
    /\ Spend
    /\ link[n] = "up"
    /\ IsAlive(n)
    /\ link' = [link EXCEPT ![n] = "cut"]
    /\ late' = [late EXCEPT ![n] = @ \union Flights(n)]
    /\ watched' = [watched EXCEPT ![n] = {}]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<dataVars, sessionVars, inbox, world>>

\* The server refuses a session that ended.
CutOff(n) ==
    /\ link[n] = "up"
    /\ ~IsAlive(n)
    /\ link' = [link EXCEPT ![n] = "cut"]
    /\ watched' = [watched EXCEPT ![n] = {}]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<dataVars, sessionVars, late, faults, inbox, world>>

\* The client notices that contact is lost, or gives the connection up.
Notice(n) ==
    /\ link[n] \in {"cut", "warned"}
    /\ IsIdle(n)
    /\ link' = [link EXCEPT ![n] = "down"]
    /\ inbox' = [inbox EXCEPT ![n] = Suspended]
    /\ UNCHANGED <<dataVars, sessionVars, late, watched, faults, request, world>>

\* The client's deadline passes before it notices.
Elapse(n) ==
    /\ Allows("deadline")
    /\ link[n] = "cut"
    /\ IsIdle(n)
    /\ link' = [link EXCEPT ![n] = "warned"]
    /\ inbox' = [inbox EXCEPT ![n] = DeadlineReached]
    /\ UNCHANGED <<dataVars, sessionVars, late, watched, faults, request, world>>

\* A deadline is reached though nothing is amiss: a client that holds the lease no more
\* does not stop it. It counts as a fault, so that there are finitely many.
Ring(n) ==
    /\ Allows("deadline")
    /\ Spend
    /\ IsIdle(n)
    /\ inbox' = [inbox EXCEPT ![n] = DeadlineReached]
    /\ UNCHANGED <<dataVars, sessionVars, link, late, watched, request, world>>

\* --- Sessions ---

\* A session of a node ends only after the node was told that contact is lost, or
\* that its deadline is reached, and has read it. True of sessions that end by
\* silence, of processes that run, and of clocks that run alike: a lease lasts
\* shorter than a session, both counted from the last contact.
\* @type: NODE => Bool;
IsForewarned(n) == link[n] \in {"warned", "down"} /\ IsIdle(n)

\* The ensemble ends the present session of a node, which cannot know it yet: at
\* any time, or in models with timely expiry, when the node is forewarned.
Expire(n) ==
    /\ Allows("expiry") \/ Allows("timely")
    /\ Spend
    /\ IsAlive(n)
    /\ Allows("timely") => IsForewarned(n)
    /\ live' = live \ {sessions[n]}
    /\ lease' = LeaseWithout(sessions[n])
    /\ late' = [late EXCEPT ![n] = LateWithout(n, sessions[n])]
    /\ UNCHANGED <<version, ghostWork, opened, sessions, link, watched, portVars,
                   world>>

\* The ensemble ends a session that its client gave up.
Reap(n) ==
    \E given \in live :
        /\ \A m \in NODES : sessions[m] /= given
        /\ live' = live \ {given}
        /\ lease' = LeaseWithout(given)
        /\ late' = [late EXCEPT ![n] = LateWithout(n, given)]
        /\ UNCHANGED <<version, ghostWork, opened, sessions, link, watched,
                       faults, portVars, world>>

\* --- Requests that nobody listens for ---

\* A request is applied, or refused, and nobody hears of it.
ApplyLate(n) ==
    \E flight \in late[n] :
        LET passes == Passes(flight.request) IN
        /\ flight.session \in live
        /\ version' =
            IF passes THEN VersionAfter(flight.request) ELSE version
        /\ lease' =
            IF passes THEN LeaseAfter(flight.request, flight.session) ELSE lease
        /\ ghostWork' =
            IF passes THEN WorkAfter(flight.request, n) ELSE ghostWork
        /\ late' = [late EXCEPT ![n] = @ \ {flight}]
        /\ UNCHANGED <<sessionVars, link, watched, faults, portVars, world>>

\* A request is lost.
DropLate(n) ==
    \E flight \in late[n] :
        /\ late' = [late EXCEPT ![n] = @ \ {flight}]
        /\ UNCHANGED <<dataVars, sessionVars, link, watched, faults, portVars,
                       world>>

\* Somebody else deletes the lease.
Intrude ==
    /\ Allows("intruder")
    /\ Spend
    /\ lease /= {}
    /\ lease' = {}
    /\ UNCHANGED <<version, ghostWork, sessionVars, connectionVars, portVars,
                   world>>

\* --- Requests ---

\* A node is told the answer to what it asked for.
Answer(n, told) ==
    /\ inbox' = [inbox EXCEPT ![n] = told]
    /\ request' = [request EXCEPT ![n] = NoRequest]

\* The lease is out: tell whose it is, and the term.
ServeInspect(n) ==
    /\ CanServe(n, "InspectLease")
    /\ \E l \in lease : Answer(n, LeaseSeen(l.owner, version))
    /\ UNCHANGED <<dataVars, sessionVars, connectionVars, faults, world>>

\* Nobody has the lease: tell the term.
MissInspect(n) ==
    /\ CanServe(n, "InspectLease")
    /\ lease = {}
    /\ Answer(n, LeaseFree(version))
    /\ UNCHANGED <<dataVars, sessionVars, connectionVars, faults, world>>

\* The lease is out: the node has a watch on it now, and no answer is due.
ServeAwait(n) ==
    /\ CanServe(n, "AwaitChange")
    /\ lease /= {}
    /\ watched' = [watched EXCEPT ![n] = lease]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<dataVars, sessionVars, link, late, faults, inbox, world>>

\* The lease was given back in between.
MissAwait(n) ==
    /\ CanServe(n, "AwaitChange")
    /\ lease = {}
    /\ Answer(n, LeaseChanged)
    /\ UNCHANGED <<dataVars, sessionVars, connectionVars, faults, world>>

\* The watched lease is gone: the watch fires, once.
Notify(n) ==
    /\ link[n] = "up"
    /\ IsAlive(n)
    /\ IsIdle(n)
    /\ watched[n] /= {}
    /\ watched[n] /= lease
    /\ watched' = [watched EXCEPT ![n] = {}]
    /\ inbox' = [inbox EXCEPT ![n] = LeaseChanged]
    /\ UNCHANGED <<dataVars, sessionVars, link, late, faults, request, world>>

\* The lease is taken or renewed: a new term begins.
ServeGrant(n) ==
    /\ CanServe(n, "TakeLease") \/ CanServe(n, "RenewLease")
    /\ Passes(request[n])
    /\ version' = VersionAfter(request[n])
    /\ lease' = LeaseAfter(request[n], sessions[n])
    /\ Answer(n, Granted(version + 1))
    /\ UNCHANGED <<ghostWork, sessionVars, connectionVars, faults, world>>

\* A write finds another term, or not the lease it needs.
Refuse(n) ==
    /\ \/ CanServe(n, "TakeLease")
       \/ CanServe(n, "RenewLease")
       \/ CanServe(n, "DoWork")
    /\ ~Passes(request[n])
    /\ Answer(n, Denied)
    /\ UNCHANGED <<dataVars, sessionVars, connectionVars, faults, world>>

\* The term is still the one under which the work is done.
ServeWork(n) ==
    /\ CanServe(n, "DoWork")
    /\ Passes(request[n])
    /\ ghostWork' = WorkAfter(request[n], n)
    /\ Answer(n, WorkDone)
    /\ UNCHANGED <<version, lease, sessionVars, connectionVars, faults, world>>

\* The lease comes back. It counts as a fault, so that there are finitely many
\* terms; but it is served in any case.
ServeReturn(n) ==
    /\ CanServe(n, "ReturnLease")
    /\ Passes(request[n])
    /\ faults' = faults + 1
    /\ lease' = {}
    /\ Answer(n, LeaseReturned)
    /\ UNCHANGED <<version, ghostWork, sessionVars, connectionVars, world>>

\* The lease was not the node's any more.
MissReturn(n) ==
    /\ CanServe(n, "ReturnLease")
    /\ ~Passes(request[n])
    /\ Answer(n, LeaseReturned)
    /\ UNCHANGED <<dataVars, sessionVars, connectionVars, faults, world>>
================================================================================
