----------------------------- MODULE LeaderElection ----------------------------
\* Can two nodes both act as leader, and does somebody lead in the end?
\*
\* Contenders (module Contender) before a ZooKeeper (module ElectionServer). They
\* share two ports, inbox and request, and nothing else. This page composes them,
\* lists every action once, and says what the election promises.
\*
\* Promises: OneWriterProp and EpochsAscendProp (no accepted write is ever
\* contradicted), OneFenceInv, OneLiveLeaderInv, OwnTicketInv, OneTicketInv,
\* KeepTicketInv, OwnDeletesProp; HeldTicketInv without intruders, OneBelieverInv
\* with timely expiry; LedProp, PlacedProp and NoOrphanProp once faults end;
\* OneLeaderProp, the refinement of abstract/OneLeader.
\* Models: models/manifest.toml.
EXTENDS Integers, Variants

CONSTANTS
    \* The contenders.
    \* @type: Set(NODE);
    NODES,
    \* What a leader may have to write.
    \* @type: Set(DUTY);
    DUTIES,
    \* What the environment may do; see ElectionServer.
    \* @type: Set(Str);
    FEATURES,
    \* How many faults may happen.
    \* @type: Int;
    FAULTS

VARIABLES
    \* @type: NODE -> Str;
    mode,
    \* @type: NODE -> Set(Int);
    session,
    \* @type: NODE -> Set($ticketName);
    ticket,
    \* @type: NODE -> Set($fence);
    fence,
    \* @type: NODE -> $input;
    inbox,
    \* @type: NODE -> $request;
    request,
    \* @type: $tree;
    tree,
    \* @type: NODE -> Int;
    sessions,
    \* @type: Set($zooSession);
    live,
    \* @type: NODE -> Str;
    link,
    \* @type: NODE -> Set($flight);
    late,
    \* @type: NODE -> Set($tree);
    behind,
    \* @type: NODE -> Set($ticketName);
    watched,
    \* @type: Int;
    wipes,
    \* @type: Int;
    faults,
    \* @type: Set($write);
    ghostWrite

contenderVars == <<mode, session, ticket, fence>>
portVars == <<inbox, request>>
serverVars == <<tree, sessions, live, link, late, behind, watched, wipes, faults,
                ghostWrite>>
vars == <<contenderVars, portVars, serverVars>>

C == INSTANCE Contender WITH world <- serverVars
S == INSTANCE ElectionServer WITH world <- contenderVars

\* --- What is the case ---

\* The node believes that it leads.
\* @type: NODE => Bool;
Believes(n) == mode[n] \in {"leading", "writing"}

\* The tickets that a node relies on and that exist, as they are.
\* @type: NODE => Set($ticket);
ReliedOn(n) == { t \in tree.latch.znodes : t.name \in ticket[n] }

\* The tickets of a node that its present session owns.
\* @type: NODE => Set($ticket);
OwnTickets(n) == { t \in tree.latch.znodes : t.owner = S!Present(n) }

\* --- Behaviours ---

Init == C!Init /\ S!Init

\* What a contender does because of what it was told.
React(n) ==
    \/ C!Attach(n)
    \/ C!Suspend(n)
    \/ C!Lapse(n)
    \/ C!Overlook(n)
    \/ C!Survey(n)
    \/ C!Restore(n)
    \/ C!Resurvey(n)
    \/ C!Join(n)
    \/ C!Rank(n)
    \/ C!Wait(n)
    \/ C!Recheck(n)
    \/ C!Rerank(n)
    \/ C!Verify(n)
    \/ C!Discard(n)
    \/ C!Claim(n)
    \/ C!Found(n)
    \/ C!Reread(n)
    \/ C!Bid(n)
    \/ C!Lead(n)
    \/ C!GiveWay(n)
    \/ C!Proceed(n)
    \/ C!StepDown(n)

\* A resignation costs epochs and numbers, so it needs what is left of the budget.
Resign(n) == S!MaySpend /\ C!Resign(n)

\* What a contender does because its user wants it.
Act(n) ==
    \/ \E duty \in DUTIES : C!Write(n, duty)
    \/ Resign(n)

\* What the server does because a contender asked.
Serve(n) ==
    \/ S!ServeSync(n)
    \/ S!ServeList(n)
    \/ S!MissList(n)
    \/ S!ServeParent(n)
    \/ S!ServeCreate(n)
    \/ S!MissCreate(n)
    \/ S!ServeInspect(n)
    \/ S!MissInspect(n)
    \/ S!ServeAwait(n)
    \/ S!MissAwait(n)
    \/ S!ServeDelete(n)
    \/ S!ServeRelease(n)
    \/ S!ServeRead(n)
    \/ S!MissRead(n)
    \/ S!ServeFound(n)
    \/ S!ServeRaise(n)
    \/ S!RefuseRaise(n)
    \/ S!MissRaise(n)
    \/ S!ServeWrite(n)
    \/ S!RefuseWrite(n)

\* How contact comes back, or is noticed to be lost.
Connect(n) ==
    \/ S!OpenSession(n)
    \/ S!Reconnect(n)
    \/ S!CutOff(n)
    \/ S!Notice(n)

\* The deadline of a leadership that is over is reached all the same.
Ring(n) == ~Believes(n) /\ S!Ring(n)

\* What goes wrong.
Fail(n) ==
    \/ S!Abandon(n)
    \/ S!Disconnect(n)
    \/ S!Elapse(n)
    \/ Ring(n)
    \/ S!Expire(n)
    \/ S!Haunt(n)
    \/ S!FallBehind(n)
    \/ S!Intrude(n)
    \/ S!Touch(n)

Next ==
    \/ \E n \in NODES :
        \/ React(n)
        \/ Act(n)
        \/ Serve(n)
        \/ Connect(n)
        \/ Fail(n)
        \/ S!Notify(n)
        \/ S!ApplyLate(n)
        \/ S!DropLate(n)
        \/ S!CatchUp(n)
        \/ S!Reap(n)
        \/ S!Exorcise(n)
    \/ S!RemoveParent
    \/ S!Wipe

Spec == Init /\ [][Next]_vars

\* Whoever can go on does so, an idle leader has its heartbeat, and what was broken
\* heals. Faults and resignations need not happen.
Fairness ==
    \A n \in NODES :
        /\ WF_vars(React(n))
        /\ WF_vars(\E duty \in DUTIES : C!Write(n, duty))
        /\ WF_vars(Serve(n))
        /\ WF_vars(Connect(n))
        /\ WF_vars(S!Notify(n))
        /\ WF_vars(S!ApplyLate(n) \/ S!DropLate(n))
        /\ WF_vars(S!CatchUp(n))
        /\ WF_vars(S!Reap(n))
        /\ WF_vars(S!Exorcise(n))

LiveSpec == Spec /\ Fairness

\* --- Safety ---

\* A contender asks for one thing at a time, and is not told before it asked. Only
\* deadlines are reached at any time.
OneRequestInv ==
    \A n \in NODES :
        /\ ~S!IsIdle(n) /\ ~C!Told(n, "DeadlineReached")
        /\ link[n] = "up"
        => request[n] = C!NoRequest

\* At most one node holds the current fence.
OneFenceInv ==
    \A m, n \in NODES : \A f \in fence[m] \intersect fence[n] :
        S!IsCurrent(tree, f) => m = n

\* Of the nodes with a live session whose ticket exists, at most one believes
\* that it leads. One environment breaks this: a session is given up while its create
\* is under way, the parent is deleted, and the numbers that start again bring a name
\* back under the old session (models/election/APA_Bounded, CreateBehindARestart).
\* The fence makes that harmless.
OneLiveLeaderInv ==
    \A m, n \in NODES :
        /\ Believes(m) /\ S!IsAlive(m) /\ ReliedOn(m) /= {}
        /\ Believes(n) /\ S!IsAlive(n) /\ ReliedOn(n) /= {}
        => m = n

\* Nobody leads by a ticket of another session than its present one; but for names
\* that come back, as with OneLiveLeaderInv.
OwnTicketInv ==
    \A n \in NODES : Believes(n) =>
        \A t \in ReliedOn(n) : t.owner = S!Present(n)

\* Whoever leads under a live session holds its ticket. Of models in which nobody
\* else deletes tickets only.
HeldTicketInv ==
    \A n \in NODES : Believes(n) /\ S!IsAlive(n) => ReliedOn(n) /= {}

\* A session draws one ticket at most. Of models without stragglers only: a create
\* that is applied after its contender looked for it leaves a second ticket, which
\* is a place in the queue like any other and ends with the session.
OneTicketInv ==
    \A n \in NODES : \A t, u \in OwnTickets(n) : t = u

\* A contender gives a ticket of its present session back only to hand over.
KeepTicketInv ==
    \A n \in NODES :
        /\ VariantTag(request[n]) = "DeleteTicket"
        /\ link[n] = "up"
        /\ \E t \in OwnTickets(n) :
            t.name = C!AsDeleteTicket(request[n]).ticket
        => mode[n] = "leaving"

\* At most one node believes that it leads. Of models with timely expiry only.
OneBelieverInv == \A m, n \in NODES : Believes(m) /\ Believes(n) => m = n

\* Accepted writes never go back to an earlier incarnation or epoch.
EpochsAscendActionInv ==
    \A old \in ghostWrite : \A new \in ghostWrite' :
        \/ old.fence.incarnation < new.fence.incarnation
        \/ /\ old.fence.incarnation = new.fence.incarnation
           /\ old.fence.epoch <= new.fence.epoch

\* Each epoch has one writer.
OneWriterActionInv ==
    \A old \in ghostWrite : \A new \in ghostWrite' :
        /\ old.fence.incarnation = new.fence.incarnation
        /\ old.fence.epoch = new.fence.epoch
        => old.node = new.node

\* A node asks for the deletion of a ticket, or did before contact was lost.
\* @type: (NODE, $ticketName) => Bool;
WantsDeleted(n, name) ==
    \E asked \in {request[n]} \union { f.request : f \in late[n] } :
        asked = C!DeleteTicket(name)

\* A ticket goes with its session, or because its own node or an intruder wants it.
OwnDeletesActionInv ==
    \A t \in tree.latch.znodes \ tree'.latch.znodes :
        \/ t.owner \notin live'
        \/ faults' /= faults
        \/ WantsDeleted(t.name.node, t.name)

OwnDeletesProp == [][OwnDeletesActionInv]_vars
EpochsAscendProp == [][EpochsAscendActionInv]_vars
OneWriterProp == [][OneWriterActionInv]_vars

\* --- Liveness, once faults end ---

\* Somebody leads for good.
LedProp == <>[](\E n \in NODES : Believes(n))

\* Nobody is left out: every node has a ticket for good.
PlacedProp == <>[](\A n \in NODES : OwnTickets(n) /= {})

\* No ticket of a session that is over, or was given up, stays.
NoOrphanProp ==
    <>[](\A t \in tree.latch.znodes : t.owner = S!Present(t.name.node))

\* --- Refinement: this is one way to keep the promise of abstract/OneLeader ---

\* @type: () => { incarnation: Int, epoch: Int };
NewestEpoch ==
    [incarnation |-> wipes,
     epoch |-> IF tree.epochs.znodes = {} THEN 0
               ELSE C!The({ e.epoch : e \in tree.epochs.znodes })]

\* @type: () => Set(NODE);
NewestLeader == UNION { e.leader : e \in tree.epochs.znodes }

\* @type: () => Set({ incarnation: Int, epoch: Int, node: NODE });
AcceptedWrite ==
    { [incarnation |-> w.fence.incarnation, epoch |-> w.fence.epoch,
       node |-> w.node] : w \in ghostWrite }

O == INSTANCE OneLeader WITH
    newest <- NewestEpoch, leader <- NewestLeader, accepted <- AcceptedWrite

OneLeaderProp == O!Spec

\* --- Examples: situations that are reachable, so their negations are violated ---

\* Somebody leads.
LeaderExample == ~(\E n \in NODES : Believes(n))

\* Two nodes believe to lead at once; the fence makes it harmless.
TwoLeadersExample ==
    ~(\E m, n \in NODES : m /= n /\ Believes(m) /\ Believes(n))

\* A deposed leader's write is still on its way while another node leads.
LateWriteExample ==
    ~(\E m, n \in NODES : m /= n /\ Believes(n) /\ \E f \in late[m] :
        /\ VariantTag(f.request) = "WriteFenced"
        /\ ~S!IsCurrent(tree, C!AsWriteFenced(f.request).fence))

\* A ticket of an earlier session of the same node is first.
OldTicketExample ==
    ~(\E n \in NODES : mode[n] = "discarding")

\* A ticket has outlived its session while its node leads under another.
GhostExample ==
    ~(\E n \in NODES : Believes(n)
        /\ \E t \in tree.latch.znodes : t.owner \notin live)

\* A node reads tickets that are not there any more, or misses some.
StaleExample ==
    ~(\E n \in NODES : \E view \in behind[n] :
        view.latch /= tree.latch /\ mode[n] = "ranking")

\* A create made under one session was executed under the next.
QueuedExample ==
    ~(\E n \in NODES : mode[n] = "syncing" /\ OwnTickets(n) /= {}
        /\ sessions[n] > 1)

\* A leader has stopped because of its deadline alone.
LapsedExample == ~(\E n \in NODES : mode[n] = "severing")

\* A deadline has outlived its leadership, and is reached though contact is fine.
RungExample ==
    ~(\E n \in NODES : C!Told(n, "DeadlineReached") /\ link[n] = "up"
        /\ \E e \in tree.epochs.znodes : e.leader = {n})

\* A leader was elected in an ensemble that had lost its data.
WipedExample ==
    ~(\E n \in NODES : Believes(n) /\ \E f \in fence[n] : f.incarnation > 0)

\* A leader's ticket was deleted, and another node leads.
UsurpedExample ==
    ~(\E m, n \in NODES : m /= n /\ Believes(m) /\ Believes(n)
        /\ S!IsAlive(m) /\ S!IsAlive(n))
================================================================================
