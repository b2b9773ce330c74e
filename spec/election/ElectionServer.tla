----------------------------- MODULE ElectionServer ----------------------------
\* What does ZooKeeper do with the requests of contenders, and to them?
\*
\* Modelled: one atomic request at a time; sessions that end at any time, whatever
\* their clients believe; contact that is lost before a client is told; requests
\* in flight at that moment, applied unheard, or late, or never; requests made
\* after it, executed on the next connection, even under a new session; servers
\* that are behind; watches that fire once and are lost with the connection;
\* ephemerals that outlive their session; clients that give a session up; tickets
\* and their parent deleted from outside; an ensemble that lost all its data.
\* FEATURES says which of these a model contains, so that a model can show which
\* feature a mistake needs to be seen. FAULTS bounds how many happen.
\*
\* Abstracted: the epoch that users see counts with the version of the epoch
\* znode, so it adds no state. A ticket's data is its node's name.
\*
\* Sources: docs/explanation/zookeeper-facts.md; CURATOR-696 (Abandon),
\* ZOOKEEPER-4785 and -5010 (Haunt), ZOOKEEPER-2355; druid-29 (RemoveParent).
EXTENDS ElectionTypes, ZooKeeper

CONSTANTS
    \* The contenders.
    \* @type: Set(NODE);
    NODES,
    \* What the environment may do beyond losing contact; see the actions.
    \* @type: Set(Str);
    FEATURES,
    \* How many faults may happen.
    \* @type: Int;
    FAULTS

\* A ticket: an ephemeral znode.
\* @typeAlias: ticket = { name: $ticketName, owner: $zooSession };

\* The epoch znode: its name is the incarnation; who raised it last, if anybody.
\* @typeAlias: epoch = { name: Int, version: Int, epoch: Int, leader: Set(NODE) };

\* All data: the directory of tickets, and the directory of the epoch znode.
\* @typeAlias: tree = {
\*     latch: { exists: Bool, drawn: Int, znodes: Set($ticket) },
\*     epochs: { exists: Bool, drawn: Int, znodes: Set($epoch) } };

\* A request that is on its way though its connection is lost, and its session.
\* @typeAlias: flight = { session: Int, request: $request };

\* A write that was accepted: under which fence, and whose.
\* @typeAlias: write = { fence: $fence, node: NODE };
server_typedefs == TRUE

VARIABLES
    \* The data, as decided.
    \* @type: $tree;
    tree,
    \* How many sessions each node had; the last is its present one.
    \* @type: NODE -> Int;
    sessions,
    \* The sessions that did not end.
    \* @type: Set($zooSession);
    live,
    \* How each node is connected.
    \* @type: NODE -> Str;
    link,
    \* The requests of each node that may still be applied, unheard.
    \* @type: NODE -> Set($flight);
    late,
    \* The older data that each node's server is at, if it is behind.
    \* @type: NODE -> Set($tree);
    behind,
    \* The ticket that each node has a watch on, if any.
    \* @type: NODE -> Set($ticketName);
    watched,
    \* How often the ensemble lost all its data.
    \* @type: Int;
    wipes,
    \* How many faults happened.
    \* @type: Int;
    faults,
    \* The last write accepted, if any. For properties only.
    \* @type: Set($write);
    ghostWrite,
    \* What each node was told and has not read yet.
    \* @type: NODE -> $input;
    inbox,
    \* What each node asked for and was not yet served.
    \* @type: NODE -> $request;
    request,
    \* Everything that is neither the server's nor a port.
    \* @type: WORLD;
    world

sessionVars == <<sessions, live>>
connectionVars == <<link, late, behind, watched>>
\* @type: () => <<Int, Int>>;
countVars == <<wipes, faults>>
portVars == <<inbox, request>>

\* --- What is the case ---

\* A model contains a feature.
\* @type: Str => Bool;
Allows(feature) == feature \in FEATURES

\* Another fault may happen.
MaySpend == faults < FAULTS

\* A fault happens.
Spend == MaySpend /\ faults' = faults + 1

\* The present session of a node.
\* @type: NODE => $zooSession;
Present(n) == [node |-> n, number |-> sessions[n]]

\* The ensemble has not ended the present session of a node.
\* @type: NODE => Bool;
IsAlive(n) == Present(n) \in live

\* Nothing waits to be read by a node.
\* @type: NODE => Bool;
IsIdle(n) == VariantTag(inbox[n]) = "NoInput"

\* A node asks for this.
\* @type: (NODE, Str) => Bool;
Asks(n, tag) == VariantTag(request[n]) = tag

\* A request of a node can be served and answered.
\* @type: (NODE, Str) => Bool;
CanServe(n, tag) ==
    /\ Asks(n, tag)
    /\ link[n] = "up"
    /\ IsAlive(n)
    /\ IsIdle(n)

\* No request of an earlier connection of the present session is under way: what
\* goes through the leader comes after them, as its queues are in order. A server
\* that stopped between reading a request and queueing it breaks even this; such a
\* straggler can come after any answer, as long as its session lives.
\* @type: NODE => Bool;
IsFlushed(n) ==
    Allows("stragglers") \/ \A f \in late[n] : f.session /= sessions[n]

\* A write can be served and answered.
\* @type: (NODE, Str) => Bool;
CanDecide(n, tag) == CanServe(n, tag) /\ IsFlushed(n)

\* The writes; only they matter once nobody listens.
WRITES == {"CreateParent", "CreateTicket", "DeleteTicket", "FoundEpoch",
           "RaiseEpoch", "WriteFenced"}

\* What a node asks for, as a flight under a session: one, or none if it reads.
\* @type: (NODE, Int) => Set($flight);
Flights(n, session) ==
    IF VariantTag(request[n]) \in WRITES
    THEN {[session |-> session, request |-> request[n]]}
    ELSE {}

\* --- The data ---

\* The data that a node may read.
\* @type: NODE => Set($tree);
ViewsOf(n) == Views(tree, behind[n])

\* The epoch znode is still what a fence says.
\* @type: ($tree, $fence) => Bool;
IsCurrent(data, fence) ==
    \E e \in data.epochs.znodes :
        e.name = fence.incarnation /\ e.version = fence.version

\* The ticket of a name exists.
\* @type: ($tree, $ticketName) => Bool;
HasTicketNamed(data, name) == Has(data.latch, name)

\* The epoch znode as a contender knows it.
\* @type: $epoch => $fence;
FenceOf(e) == [incarnation |-> e.name, version |-> e.version, epoch |-> e.epoch]

\* What a fence becomes when it is raised.
\* @type: $fence => $fence;
NextFence(fence) ==
    [fence EXCEPT !.version = @ + 1, !.epoch = @ + 1]

\* The data of an ensemble without any.
\* @type: () => $tree;
BareTree == [latch |-> NoDirectory, epochs |-> NoDirectory]

\* The data after each write that succeeds.
\* @type: $tree => $tree;
WithParent(data) ==
    IF data.latch.exists THEN data ELSE [data EXCEPT !.latch = EmptyDirectory]

\* @type: ($tree, NODE, Int) => $tree;
WithTicket(data, n, session) ==
    [data EXCEPT !.latch = Drawn(data.latch,
        [name |-> [node |-> n, number |-> NextNumber(data.latch)],
         owner |-> [node |-> n, number |-> session]])]

\* @type: ($tree, $ticketName) => $tree;
WithoutTicket(data, name) == [data EXCEPT !.latch = Deleted(data.latch, name)]

\* @type: ($tree, Int) => $tree;
WithEpoch(data, incarnation) ==
    IF data.epochs.exists THEN data
    ELSE [data EXCEPT !.epochs = Created(EmptyDirectory,
        [name |-> incarnation, version |-> 0, epoch |-> 0, leader |-> {}])]

\* @type: ($tree, $fence, NODE) => $tree;
WithRaised(data, fence, n) ==
    [data EXCEPT !.epochs = Written(data.epochs,
        [name |-> fence.incarnation, version |-> fence.version + 1,
         epoch |-> fence.epoch + 1, leader |-> {n}])]

\* A conditional write finds its fence current and its ticket there.
\* @type: ($tree, $fence, $ticketName) => Bool;
Passes(data, fence, name) ==
    IsCurrent(data, fence) /\ HasTicketNamed(data, name)

Init ==
    /\ tree = IF Allows("bare") THEN BareTree
              ELSE WithEpoch(WithParent(BareTree), 0)
    /\ sessions = [n \in NODES |-> 0]
    /\ live = {}
    /\ link = [n \in NODES |-> "down"]
    /\ late = [n \in NODES |-> {}]
    /\ behind = [n \in NODES |-> {}]
    /\ watched = [n \in NODES |-> {}]
    /\ wipes = 0
    /\ faults = 0
    /\ ghostWrite = {}

\* --- Connections ---

\* What may still be applied after a node connected again under a session: with
\* late requests, those in flight when contact was lost; with queued requests,
\* the one made since then, which goes out first on the new connection.
\* @type: (NODE, Int) => Set($flight);
Pending(n, session) ==
    (IF Allows("late") THEN late[n] ELSE {})
    \union (IF Allows("queued") THEN Flights(n, session) ELSE {})

\* What a node watches once its connection is lost: nothing. Models with sticky
\* watches show what depends on that; there a watch that was asked for is kept too.
\* @type: NODE => Set($ticketName);
WatchedOnceLost(n) ==
    IF ~Allows("sticky watches") THEN {}
    ELSE IF Asks(n, "AwaitDeparture")
    THEN {AsAwaitDeparture(request[n]).ticket}
    ELSE watched[n]

\* Connect for the first time, or after the session ended. The server knows this
\* session, so it is not behind the end of an earlier one.
OpenSession(n) ==
    /\ link[n] = "down"
    /\ IsIdle(n)
    /\ ~IsAlive(n)
    /\ link' = [link EXCEPT ![n] = "up"]
    /\ sessions' = [sessions EXCEPT ![n] = @ + 1]
    /\ live' = live \union {[node |-> n, number |-> sessions[n] + 1]}
    /\ late' = [late EXCEPT ![n] = Pending(n, sessions[n] + 1)]
    /\ behind' = [behind EXCEPT ![n] = {}]
    /\ inbox' = [inbox EXCEPT ![n] = Connected(sessions[n] + 1)]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<tree, watched, countVars, ghostWrite, world>>

\* Give up a session that lives, and connect under a new one. The server ends the
\* old one when it has been silent for long enough.
Abandon(n) ==
    /\ Allows("abandon")
    /\ Spend
    /\ link[n] = "down"
    /\ IsIdle(n)
    /\ IsAlive(n)
    /\ link' = [link EXCEPT ![n] = "up"]
    /\ sessions' = [sessions EXCEPT ![n] = @ + 1]
    /\ live' = live \union {[node |-> n, number |-> sessions[n] + 1]}
    /\ late' = [late EXCEPT ![n] = Pending(n, sessions[n] + 1)]
    /\ behind' = [behind EXCEPT ![n] = {}]
    /\ inbox' = [inbox EXCEPT ![n] = Connected(sessions[n] + 1)]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<tree, watched, wipes, ghostWrite, world>>

\* Connect again, in time to keep the session.
Reconnect(n) ==
    /\ link[n] = "down"
    /\ IsIdle(n)
    /\ IsAlive(n)
    /\ link' = [link EXCEPT ![n] = "up"]
    /\ late' = [late EXCEPT ![n] = Pending(n, sessions[n])]
    /\ watched' = [watched EXCEPT ![n] = WatchedOnceLost(n)]
    /\ inbox' = [inbox EXCEPT ![n] = Connected(sessions[n])]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<tree, sessionVars, behind, countVars, ghostWrite, world>>

\* Contact is lost. What is in flight may be applied or not; nobody will hear.
\* Watches are lost with the connection.
Disconnect(n) ==
    /\ Spend
    /\ link[n] = "up"
    /\ IsAlive(n)
    /\ link' = [link EXCEPT ![n] = "cut"]
    /\ late' = [late EXCEPT ![n] = @ \union Flights(n, sessions[n])]
    /\ watched' = [watched EXCEPT ![n] = WatchedOnceLost(n)]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<tree, sessionVars, behind, wipes, ghostWrite, inbox, world>>

\* The server refuses a session that ended.
CutOff(n) ==
    /\ link[n] = "up"
    /\ ~IsAlive(n)
    /\ link' = [link EXCEPT ![n] = "cut"]
    /\ watched' = [watched EXCEPT ![n] = {}]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<tree, sessionVars, late, behind, countVars, ghostWrite, inbox,
                   world>>

\* The client notices that contact is lost, or gives the connection up.
Notice(n) ==
    /\ link[n] \in {"cut", "warned"}
    /\ IsIdle(n)
    /\ link' = [link EXCEPT ![n] = "down"]
    /\ inbox' = [inbox EXCEPT ![n] = Suspended]
    /\ UNCHANGED <<tree, sessionVars, late, behind, watched, countVars,
                   ghostWrite, request, world>>

\* The client's deadline passes before it notices.
Elapse(n) ==
    /\ Allows("deadline")
    /\ link[n] = "cut"
    /\ IsIdle(n)
    /\ link' = [link EXCEPT ![n] = "warned"]
    /\ inbox' = [inbox EXCEPT ![n] = DeadlineReached]
    /\ UNCHANGED <<tree, sessionVars, late, behind, watched, countVars,
                   ghostWrite, request, world>>

\* A deadline is reached though nothing is amiss: a client that leads no more does not
\* stop it. Whether it ever led is not looked at. It counts as a fault, so that there
\* are finitely many.
Ring(n) ==
    /\ Allows("deadline")
    /\ Spend
    /\ IsIdle(n)
    /\ inbox' = [inbox EXCEPT ![n] = DeadlineReached]
    /\ UNCHANGED <<tree, sessionVars, connectionVars, wipes, ghostWrite, request,
                   world>>

\* --- Sessions ---

\* A session of a node ends only after the node was told that contact is lost, or
\* that its deadline is reached, and has read it. True of sessions that end by
\* silence, of processes that run, and of clocks that run alike: the deadline is
\* shorter than the session timeout, both counted from the last contact.
\* @type: NODE => Bool;
IsForewarned(n) == link[n] \in {"warned", "down"} /\ IsIdle(n)

\* The ensemble ends the present session of a node, which cannot know it yet: at
\* any time, or in models with timely expiry, when the node is forewarned.
Expire(n) ==
    /\ Allows("expiry") \/ Allows("timely")
    /\ Spend
    /\ IsAlive(n)
    /\ Allows("timely") => IsForewarned(n)
    /\ live' = live \ {Present(n)}
    /\ tree' = [tree EXCEPT !.latch = Purged(@, Present(n))]
    /\ late' = [late EXCEPT ![n] = { f \in @ : f.session /= sessions[n] }]
    /\ UNCHANGED <<sessions, link, behind, watched, wipes, ghostWrite, portVars,
                   world>>

\* As Expire, but by a defect of the server the ephemerals stay for a while.
Haunt(n) ==
    /\ Allows("ghosts")
    /\ Spend
    /\ IsAlive(n)
    /\ live' = live \ {Present(n)}
    /\ late' = [late EXCEPT ![n] = { f \in @ : f.session /= sessions[n] }]
    /\ UNCHANGED <<tree, sessions, link, behind, watched, wipes, ghostWrite,
                   portVars, world>>

\* An ephemeral that outlived its session is removed at last.
Exorcise(n) ==
    \E t \in tree.latch.znodes :
        /\ t.name.node = n
        /\ t.owner \notin live
        /\ tree' = [tree EXCEPT !.latch = Deleted(@, t.name)]
        /\ UNCHANGED <<sessionVars, connectionVars, countVars, ghostWrite,
                       portVars, world>>

\* The ensemble ends a session that its client gave up.
Reap(n) ==
    \E given \in live :
        /\ given.node = n
        /\ given.number /= sessions[n]
        /\ live' = live \ {given}
        /\ tree' = [tree EXCEPT !.latch = Purged(@, given)]
        /\ late' = [late EXCEPT ![n] = { f \in @ : f.session /= given.number }]
        /\ UNCHANGED <<sessions, link, behind, watched, countVars, ghostWrite,
                       portVars, world>>

\* --- Requests that nobody listens for ---

\* The data after a late request: as if it had been served in time.
\* @type: (NODE, $flight) => $tree;
TreeAfter(n, flight) ==
    LET tag == VariantTag(flight.request) IN
    IF tag = "CreateParent" THEN WithParent(tree)
    ELSE IF tag = "CreateTicket" THEN
        IF tree.latch.exists THEN WithTicket(tree, n, flight.session) ELSE tree
    ELSE IF tag = "DeleteTicket" THEN
        WithoutTicket(tree, AsDeleteTicket(flight.request).ticket)
    ELSE IF tag = "FoundEpoch" THEN WithEpoch(tree, wipes)
    ELSE IF tag = "RaiseEpoch" THEN
        LET asked == AsRaiseEpoch(flight.request) IN
        IF Passes(tree, asked.fence, asked.ticket)
        THEN WithRaised(tree, asked.fence, n) ELSE tree
    ELSE tree

\* The last accepted write after a late request.
\* @type: (NODE, $flight) => Set($write);
WriteAfter(n, flight) ==
    IF VariantTag(flight.request) = "WriteFenced" THEN
        LET asked == AsWriteFenced(flight.request) IN
        IF Passes(tree, asked.fence, asked.ticket)
        THEN {[fence |-> asked.fence, node |-> n]} ELSE ghostWrite
    ELSE ghostWrite

\* A request is applied, or refused, and nobody hears of it.
ApplyLate(n) ==
    \E flight \in late[n] :
        /\ [node |-> n, number |-> flight.session] \in live
        /\ tree' = TreeAfter(n, flight)
        /\ ghostWrite' = WriteAfter(n, flight)
        /\ late' = [late EXCEPT ![n] = @ \ {flight}]
        /\ UNCHANGED <<sessionVars, link, behind, watched, countVars, portVars,
                       world>>

\* A request is lost.
DropLate(n) ==
    \E flight \in late[n] :
        /\ late' = [late EXCEPT ![n] = @ \ {flight}]
        /\ UNCHANGED <<tree, sessionVars, link, behind, watched, countVars,
                       ghostWrite, portVars, world>>

\* --- What else goes wrong ---

\* The server that a node reads from, or will, stops following the others.
FallBehind(n) ==
    /\ Allows("stale")
    /\ Spend
    /\ behind[n] = {}
    /\ IsAlive(n)
    /\ behind' = [behind EXCEPT ![n] = {tree}]
    /\ UNCHANGED <<tree, sessionVars, link, late, watched, wipes, ghostWrite,
                   portVars, world>>

\* It follows again.
CatchUp(n) ==
    /\ behind[n] /= {}
    /\ behind' = [behind EXCEPT ![n] = {}]
    /\ UNCHANGED <<tree, sessionVars, link, late, watched, countVars, ghostWrite,
                   portVars, world>>

\* Somebody else deletes a ticket of a node.
Intrude(n) ==
    /\ Allows("intruder")
    /\ Spend
    /\ \E t \in tree.latch.znodes :
        /\ t.name.node = n
        /\ tree' = [tree EXCEPT !.latch = Deleted(@, t.name)]
    /\ UNCHANGED <<sessionVars, connectionVars, wipes, ghostWrite, portVars,
                   world>>

\* The parent of the tickets is deleted, or reaped as an empty container.
RemoveParent ==
    /\ Allows("parent")
    /\ Spend
    /\ tree.latch.exists
    /\ tree.latch.znodes = {}
    /\ tree' = [tree EXCEPT !.latch = NoDirectory]
    /\ UNCHANGED <<sessionVars, connectionVars, wipes, ghostWrite, portVars,
                   world>>

\* The ensemble loses all its data: a majority comes back with empty disks. All
\* contact is lost, no session is known any more, versions start at 0 again.
Wipe ==
    /\ Allows("wipe")
    /\ Spend
    /\ wipes' = wipes + 1
    /\ tree' = BareTree
    /\ live' = {}
    /\ link' = [n \in NODES |-> IF link[n] = "up" THEN "cut" ELSE link[n]]
    /\ late' = [n \in NODES |-> {}]
    /\ behind' = [n \in NODES |-> {}]
    /\ watched' = [n \in NODES |-> {}]
    /\ request' =
        [n \in NODES |-> IF link[n] = "up" THEN NoRequest ELSE request[n]]
    /\ UNCHANGED <<sessions, ghostWrite, inbox, world>>

\* --- Requests ---

\* The server has caught up.
ServeSync(n) ==
    /\ CanDecide(n, "Sync")
    /\ behind' = [behind EXCEPT ![n] = {}]
    /\ inbox' = [inbox EXCEPT ![n] = Synced]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<tree, sessionVars, link, late, watched, countVars, ghostWrite,
                   world>>

ServeList(n) ==
    /\ CanServe(n, "ListTickets")
    /\ \E view \in ViewsOf(n) :
        /\ view.latch.exists
        /\ inbox' = [inbox EXCEPT ![n] = TicketsListed(Names(view.latch))]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<tree, sessionVars, connectionVars, countVars, ghostWrite,
                   world>>

MissList(n) ==
    /\ CanServe(n, "ListTickets")
    /\ \E view \in ViewsOf(n) : ~view.latch.exists
    /\ inbox' = [inbox EXCEPT ![n] = ParentGone]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<tree, sessionVars, connectionVars, countVars, ghostWrite,
                   world>>

ServeParent(n) ==
    /\ CanDecide(n, "CreateParent")
    /\ tree' = WithParent(tree)
    /\ behind' = [behind EXCEPT ![n] = {}]
    /\ inbox' = [inbox EXCEPT ![n] = ParentCreated]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<sessionVars, link, late, watched, countVars, ghostWrite,
                   world>>

ServeCreate(n) ==
    /\ CanDecide(n, "CreateTicket")
    /\ tree.latch.exists
    /\ tree' = WithTicket(tree, n, sessions[n])
    /\ behind' = [behind EXCEPT ![n] = {}]
    /\ inbox' = [inbox EXCEPT ![n] = TicketCreated]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<sessionVars, link, late, watched, countVars, ghostWrite,
                   world>>

MissCreate(n) ==
    /\ CanDecide(n, "CreateTicket")
    /\ ~tree.latch.exists
    /\ behind' = [behind EXCEPT ![n] = {}]
    /\ inbox' = [inbox EXCEPT ![n] = ParentGone]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<tree, sessionVars, link, late, watched, countVars, ghostWrite,
                   world>>

ServeInspect(n) ==
    /\ CanServe(n, "InspectTicket")
    /\ \E view \in ViewsOf(n) :
        \E t \in Named(view.latch, AsInspectTicket(request[n]).ticket) :
            inbox' = [inbox EXCEPT ![n] = TicketInspected(t.owner.number)]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<tree, sessionVars, connectionVars, countVars, ghostWrite,
                   world>>

MissInspect(n) ==
    /\ CanServe(n, "InspectTicket")
    /\ \E view \in ViewsOf(n) :
        ~HasTicketNamed(view, AsInspectTicket(request[n]).ticket)
    /\ inbox' = [inbox EXCEPT ![n] = TicketGone]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<tree, sessionVars, connectionVars, countVars, ghostWrite,
                   world>>

\* The ticket exists: the node has a watch on it now, and no answer is due.
ServeAwait(n) ==
    /\ CanServe(n, "AwaitDeparture")
    /\ \E view \in ViewsOf(n) :
        HasTicketNamed(view, AsAwaitDeparture(request[n]).ticket)
    /\ watched' =
        [watched EXCEPT ![n] = {AsAwaitDeparture(request[n]).ticket}]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<tree, sessionVars, link, late, behind, countVars, ghostWrite,
                   inbox, world>>

MissAwait(n) ==
    /\ CanServe(n, "AwaitDeparture")
    /\ \E view \in ViewsOf(n) :
        ~HasTicketNamed(view, AsAwaitDeparture(request[n]).ticket)
    /\ inbox' = [inbox EXCEPT ![n] = TicketGone]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<tree, sessionVars, connectionVars, countVars, ghostWrite,
                   world>>

\* The watched ticket is gone from the server that has the watch: it fires, once.
Notify(n) ==
    /\ link[n] = "up"
    /\ IsAlive(n)
    /\ IsIdle(n)
    /\ \E name \in watched[n] : \E view \in ViewsOf(n) :
        ~HasTicketNamed(view, name)
    /\ watched' = [watched EXCEPT ![n] = {}]
    /\ inbox' = [inbox EXCEPT ![n] = TicketChanged]
    /\ UNCHANGED <<tree, sessionVars, link, late, behind, countVars, ghostWrite,
                   request, world>>

\* Somebody sets the data of the watched ticket: the watch fires all the same.
Touch(n) ==
    /\ Allows("intruder")
    /\ Spend
    /\ link[n] = "up"
    /\ IsAlive(n)
    /\ IsIdle(n)
    /\ watched[n] /= {}
    /\ watched' = [watched EXCEPT ![n] = {}]
    /\ inbox' = [inbox EXCEPT ![n] = TicketChanged]
    /\ UNCHANGED <<tree, sessionVars, link, late, behind, wipes, ghostWrite,
                   request, world>>

\* The ticket that a node wants deleted is one of its present session.
\* @type: NODE => Bool;
IsRelease(n) ==
    \E t \in Named(tree.latch, AsDeleteTicket(request[n]).ticket) :
        t.owner = Present(n)

\* Delete a ticket; that it was gone already makes no difference.
ServeDelete(n) ==
    /\ CanDecide(n, "DeleteTicket")
    /\ ~IsRelease(n)
    /\ tree' = WithoutTicket(tree, AsDeleteTicket(request[n]).ticket)
    /\ behind' = [behind EXCEPT ![n] = {}]
    /\ inbox' = [inbox EXCEPT ![n] = TicketGone]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<sessionVars, link, late, watched, countVars, ghostWrite,
                   world>>

\* Delete a ticket that is good still. It counts as a fault, so that there are
\* finitely many resignations; but it is served in any case.
ServeRelease(n) ==
    /\ CanDecide(n, "DeleteTicket")
    /\ IsRelease(n)
    /\ faults' = faults + 1
    /\ tree' = WithoutTicket(tree, AsDeleteTicket(request[n]).ticket)
    /\ behind' = [behind EXCEPT ![n] = {}]
    /\ inbox' = [inbox EXCEPT ![n] = TicketGone]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<sessionVars, link, late, watched, wipes, ghostWrite, world>>

ServeRead(n) ==
    /\ CanServe(n, "ReadEpoch")
    /\ \E view \in ViewsOf(n) : \E e \in view.epochs.znodes :
        inbox' = [inbox EXCEPT ![n] = EpochRead(FenceOf(e))]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<tree, sessionVars, connectionVars, countVars, ghostWrite,
                   world>>

MissRead(n) ==
    /\ CanServe(n, "ReadEpoch")
    /\ \E view \in ViewsOf(n) : view.epochs.znodes = {}
    /\ inbox' = [inbox EXCEPT ![n] = EpochMissing]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<tree, sessionVars, connectionVars, countVars, ghostWrite,
                   world>>

\* Found the epoch of this incarnation, unless somebody did: one multi that
\* creates the directory and the znode in it, or nothing.
ServeFound(n) ==
    /\ CanDecide(n, "FoundEpoch")
    /\ tree' = WithEpoch(tree, wipes)
    /\ behind' = [behind EXCEPT ![n] = {}]
    /\ inbox' = [inbox EXCEPT ![n] = EpochFounded]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<sessionVars, link, late, watched, countVars, ghostWrite,
                   world>>

\* Raise the epoch: one multi that sets it at a version and checks the ticket.
ServeRaise(n) ==
    LET asked == AsRaiseEpoch(request[n]) IN
    /\ CanDecide(n, "RaiseEpoch")
    /\ Passes(tree, asked.fence, asked.ticket)
    /\ tree' = WithRaised(tree, asked.fence, n)
    /\ behind' = [behind EXCEPT ![n] = {}]
    /\ inbox' = [inbox EXCEPT ![n] = EpochRaised(NextFence(asked.fence))]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<sessionVars, link, late, watched, countVars, ghostWrite,
                   world>>

RefuseRaise(n) ==
    LET asked == AsRaiseEpoch(request[n]) IN
    /\ CanDecide(n, "RaiseEpoch")
    /\ ~IsCurrent(tree, asked.fence)
    /\ behind' = [behind EXCEPT ![n] = {}]
    /\ inbox' = [inbox EXCEPT ![n] = EpochMoved]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<tree, sessionVars, link, late, watched, countVars, ghostWrite,
                   world>>

MissRaise(n) ==
    LET asked == AsRaiseEpoch(request[n]) IN
    /\ CanDecide(n, "RaiseEpoch")
    /\ IsCurrent(tree, asked.fence)
    /\ ~HasTicketNamed(tree, asked.ticket)
    /\ behind' = [behind EXCEPT ![n] = {}]
    /\ inbox' = [inbox EXCEPT ![n] = TicketGone]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<tree, sessionVars, link, late, watched, countVars, ghostWrite,
                   world>>

\* Do a leader's write: one multi that begins with two checks.
ServeWrite(n) ==
    LET asked == AsWriteFenced(request[n]) IN
    /\ CanDecide(n, "WriteFenced")
    /\ Passes(tree, asked.fence, asked.ticket)
    /\ ghostWrite' = {[fence |-> asked.fence, node |-> n]}
    /\ behind' = [behind EXCEPT ![n] = {}]
    /\ inbox' = [inbox EXCEPT ![n] = WriteDone]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<tree, sessionVars, link, late, watched, countVars, world>>

RefuseWrite(n) ==
    LET asked == AsWriteFenced(request[n]) IN
    /\ CanDecide(n, "WriteFenced")
    /\ ~Passes(tree, asked.fence, asked.ticket)
    /\ behind' = [behind EXCEPT ![n] = {}]
    /\ inbox' = [inbox EXCEPT ![n] = WriteRefused]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<tree, sessionVars, link, late, watched, countVars, ghostWrite,
                   world>>
================================================================================
