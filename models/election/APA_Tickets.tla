------------------------------- MODULE APA_Tickets ------------------------------
\* Can two nodes both lead in good faith, or one by a ticket that is not its own?
\*
\* An inductive invariant about tickets. It holds in any number of steps, with any
\* number of faults, sessions, numbers of tickets, epochs and wipes, whichever
\* features the environment has but sticky watches and stragglers.
\*
\* The idea: once a contender's server has caught up, no ticket of its present
\* session is drawn behind its back, so whatever it reads shows that ticket, if
\* there is one, and every ticket with a smaller number. Numbers rise, so whoever
\* found its ticket first stays first as long as the ticket is there.
EXTENDS LeaderElection, Apalache

\* What an environment may do. Two features are missing: with sticky watches, a
\* contender is told of a watch of an earlier connection; with stragglers, a ticket is
\* drawn for a session after its contender has looked.
ALL_FEATURES == {"bare", "late", "queued", "abandon", "deadline", "expiry", "timely",
    "ghosts", "stale", "intruder", "parent", "wipe"}

Any ==
    /\ DUTIES = {"d1_OF_DUTY"}
    /\ FEATURES \in SUBSET ALL_FEATURES
    /\ FAULTS \in Int

TwoNodes == NODES = {"n1_OF_NODE", "n2_OF_NODE"} /\ Any

ThreeNodes == NODES = {"n1_OF_NODE", "n2_OF_NODE", "n3_OF_NODE"} /\ Any

FourNodes ==
    NODES = {"n1_OF_NODE", "n2_OF_NODE", "n3_OF_NODE", "n4_OF_NODE"} /\ Any

\* Any state with two tickets, two names in each view and list, two late requests of
\* each node and three live sessions at most. Numbers are not bounded. No lemma speaks
\* of more than two tickets, or of more than one of the others, at a time.
TypeOK ==
    /\ mode \in [NODES -> C!MODES]
    /\ session = [n \in NODES |-> Gen(1)]
    /\ ticket = [n \in NODES |-> Gen(1)]
    /\ fence = [n \in NODES |-> Gen(1)]
    /\ inbox = [n \in NODES |-> Gen(2)]
    /\ request = [n \in NODES |-> Gen(1)]
    /\ tree = [latch |-> Gen(2), epochs |-> Gen(1)]
    /\ sessions \in [NODES -> Int]
    /\ live = Gen(3)
    /\ link \in [NODES -> S!LINKS]
    /\ late = [n \in NODES |-> Gen(2)]
    /\ \E isBehind \in [NODES -> BOOLEAN] :
        behind = [n \in NODES |->
            IF isBehind[n] THEN {[latch |-> Gen(2), epochs |-> Gen(1)]} ELSE {}]
    /\ watched = [n \in NODES |-> Gen(1)]
    /\ wipes \in Int
    /\ faults \in Int
    /\ ghostWrite = Gen(1)

\* --- What is meant ---

\* The modes in which a contender has a ticket that it relies on, or gives back.
RELYING == {"verifying", "discarding", "fencing", "founding", "raising", "leading",
    "writing", "leaving"}

\* The modes in which a contender is first as far as it knows.
CLAIMING == {"verifying", "fencing", "founding", "raising", "leading", "writing"}

\* The modes in which a contender knows that its ticket is its own.
OWNING == {"fencing", "founding", "raising", "leading", "writing"}

\* What a contender in a mode waits for, if it waits for an answer to a request.
\* @type: Str => Str;
Errand(place) ==
    IF place = "syncing" THEN "Sync"
    ELSE IF place = "ranking" THEN "ListTickets"
    ELSE IF place = "restoring" THEN "CreateParent"
    ELSE IF place = "joining" THEN "CreateTicket"
    ELSE IF place = "waiting" THEN "AwaitDeparture"
    ELSE IF place = "verifying" THEN "InspectTicket"
    ELSE IF place \in {"discarding", "leaving"} THEN "DeleteTicket"
    ELSE IF place = "fencing" THEN "ReadEpoch"
    ELSE IF place = "founding" THEN "FoundEpoch"
    ELSE IF place = "raising" THEN "RaiseEpoch"
    ELSE IF place = "writing" THEN "WriteFenced"
    ELSE IF place = "severing" THEN "CutConnection"
    ELSE "NoRequest"

\* The modes in which a contender may be given an answer.
\* @type: Str => Set(Str);
Askers(tag) ==
    IF tag = "Synced" THEN {"syncing"}
    ELSE IF tag = "TicketsListed" THEN {"ranking"}
    ELSE IF tag = "ParentGone" THEN {"ranking", "joining"}
    ELSE IF tag = "ParentCreated" THEN {"restoring"}
    ELSE IF tag = "TicketCreated" THEN {"joining"}
    ELSE IF tag = "TicketInspected" THEN {"verifying"}
    ELSE IF tag = "TicketChanged" THEN {"waiting"}
    ELSE IF tag = "TicketGone" THEN
        {"waiting", "verifying", "discarding", "raising", "leaving"}
    ELSE IF tag \in {"EpochRead", "EpochMissing"} THEN {"fencing"}
    ELSE IF tag = "EpochFounded" THEN {"founding"}
    ELSE IF tag \in {"EpochRaised", "EpochMoved"} THEN {"raising"}
    ELSE {"writing"}

\* What the inbox holds is about the connection, or is nothing.
\* @type: NODE => Bool;
HasNoAnswer(n) ==
    VariantTag(inbox[n]) \in {"NoInput", "Connected", "Suspended", "DeadlineReached"}

\* The contender's server has caught up with what was before this connection.
\* @type: NODE => Bool;
HasCaughtUp(n) ==
    link[n] = "up" /\ (mode[n] \notin {"offline", "syncing"} \/ C!Told(n, "Synced"))

\* A ticket may still be drawn for the present session, unheard.
\* @type: NODE => Bool;
MayDrawUnheard(n) ==
    \E f \in late[n] :
        f.session = sessions[n] /\ VariantTag(f.request) = "CreateTicket"

\* A node has a session that did not end, be it one that it gave up.
\* @type: NODE => Bool;
HasLife(n) == \E given \in live : given.node = n

\* A name of a ticket may come back under an earlier session of the same node: its
\* client gave that session up with a create under way, and numbers start again.
NamesComeBack == {"abandon", "late", "parent"} \subseteq FEATURES

\* --- Lemmas ---

\* Tickets differ in their numbers, were drawn, and are owned by their nodes.
Lemma1_TicketsAreNumbered ==
    /\ ~tree.latch.exists => tree.latch.znodes = {} /\ tree.latch.drawn = 0
    /\ tree.latch.drawn >= 0
    /\ \A t \in tree.latch.znodes :
        /\ t.name.number <= tree.latch.drawn
        /\ t.name.node = t.owner.node
        /\ t.owner.node \in NODES
        /\ t.owner.number <= sessions[t.owner.node]
        /\ \A u \in tree.latch.znodes : t.name.number = u.name.number => t = u

\* No session is of the future.
Lemma2_SessionsAreNumbered ==
    /\ \A given \in live :
        given.node \in NODES /\ given.number <= sessions[given.node]
    /\ \A n \in NODES : \A f \in late[n] :
        /\ f.session <= sessions[n]
        /\ VariantTag(f.request) = "CreateTicket" => f.request = C!CreateTicket

\* A contender knows of its connection what is so, or is about to be told.
Lemma3_ConnectionsAreKnown ==
    \A n \in NODES :
        /\ session[n] = IF mode[n] = "offline" THEN {} ELSE {sessions[n]}
        /\ link[n] = "down" =>
            IF mode[n] = "offline"
            THEN S!IsIdle(n) \/ C!Told(n, "DeadlineReached")
            ELSE C!Told(n, "Suspended")
        /\ link[n] /= "down" =>
            ~C!Told(n, "Suspended") /\ (mode[n] = "offline") = C!Told(n, "Connected")
        /\ C!Told(n, "Connected") =>
            C!AsConnected(inbox[n]).session = sessions[n] /\ request[n] = C!NoRequest
        /\ C!Told(n, "DeadlineReached") => link[n] = "warned" \/ ~Believes(n)
        /\ link[n] = "warned" => VariantTag(inbox[n]) \in {"NoInput", "DeadlineReached"}

\* An answer is to what was asked last, and nothing is asked any more.
Lemma4_AnswersWereAskedFor ==
    \A n \in NODES : ~HasNoAnswer(n) =>
        /\ request[n] = C!NoRequest
        /\ mode[n] \in Askers(VariantTag(inbox[n]))

\* The mode says what is asked, and of which ticket; only what was asked when
\* contact was lost is asked still while offline.
Lemma5_RequestsFitModes ==
    \A n \in NODES :
        /\ mode[n] /= "offline" =>
            VariantTag(request[n]) \in {"NoRequest", Errand(mode[n])}
        /\ S!Asks(n, "CreateTicket") => request[n] = C!CreateTicket
        /\ mode[n] = "verifying" /\ S!Asks(n, "InspectTicket") =>
            C!AsInspectTicket(request[n]).ticket \in ticket[n]
        /\ mode[n] \in {"discarding", "leaving"} /\ S!Asks(n, "DeleteTicket") =>
            C!AsDeleteTicket(request[n]).ticket \in ticket[n]

\* Only those who wait have a watch, and it is all they wait for.
Lemma6_WatchersWait ==
    \A n \in NODES : watched[n] /= {} =>
        /\ link[n] = "up"
        /\ mode[n] = "waiting"
        /\ S!IsIdle(n) \/ C!Told(n, "DeadlineReached")
        /\ request[n] = C!NoRequest

\* Contenders rely on one ticket of their own, in some modes.
Lemma7_OneTicketReliedOn ==
    \A n \in NODES :
        /\ (ticket[n] /= {}) = (mode[n] \in RELYING)
        /\ \A name \in ticket[n] : name.node = n
        /\ \A name, other \in ticket[n] : name = other

\* Once the server has caught up, no request of the session is under way.
Lemma8_NothingIsUnderWay ==
    \A n \in NODES : HasCaughtUp(n) => S!IsFlushed(n)

\* A ticket is drawn unheard only for those who cannot have read any list since.
Lemma9_NoTicketBehindOnesBack ==
    \A n \in NODES : MayDrawUnheard(n) =>
        /\ OwnTickets(n) = {}
        /\ ~S!Asks(n, "CreateTicket")
        /\ \/ mode[n] = "offline"
           \/ mode[n] = "syncing" /\ ~C!Told(n, "Synced")
           \/ /\ mode[n] = "joining"
              /\ HasNoAnswer(n)
              /\ request[n] = C!NoRequest
              /\ link[n] /= "up"

\* A session has one ticket at most, and asks for one only if it has none.
Lemma10_OneTicketASession ==
    \A n \in NODES :
        /\ \A t, u \in OwnTickets(n) : t = u
        /\ S!Asks(n, "CreateTicket") => OwnTickets(n) = {}

\* Whatever a contender may read shows its ticket, and all that are ahead of it.
Lemma11_ViewsShowWhoIsAhead ==
    \A n \in NODES : \A view \in behind[n] :
        /\ behind[n] = {view}
        /\ \A t, u \in view.latch.znodes : t.name = u.name => t = u
        /\ HasCaughtUp(n) => \A t \in OwnTickets(n) :
            /\ t \in view.latch.znodes
            /\ \A u \in tree.latch.znodes :
                u.name.number < t.name.number => u \in view.latch.znodes

\* So does a list that it has read.
Lemma12_ListsShowWhoIsAhead ==
    \A n \in NODES : C!Told(n, "TicketsListed") =>
        \A t \in OwnTickets(n) :
            /\ t.name \in C!Names(n)
            /\ \A u \in tree.latch.znodes :
                u.name.number < t.name.number => u.name \in C!Names(n)

\* Whoever inspects its own ticket is told so, and nobody discards one.
Lemma13_OwnTicketsAreKnown ==
    \A n \in NODES : \A t \in OwnTickets(n) : t.name \in ticket[n] =>
        /\ mode[n] /= "discarding"
        /\ C!Told(n, "TicketInspected") =>
            C!AsTicketInspected(inbox[n]).session = sessions[n]

\* Whoever claims by a ticket of its present session is first.
Lemma14_ClaimantsAreFirst ==
    \A n \in NODES : mode[n] \in CLAIMING =>
        \A t \in OwnTickets(n) : t.name \in ticket[n] =>
            \A u \in tree.latch.znodes : t.name.number <= u.name.number

\* Unless sessions are given up, a node has one session at most; unless requests
\* are late, they are of the present session.
Lemma15_SessionsFollowEachOther ==
    /\ "abandon" \notin FEATURES =>
        \A given \in live : given.number = sessions[given.node]
    /\ "late" \notin FEATURES =>
        \A n \in NODES : \A f \in late[n] : f.session = sessions[n]

\* Unless the parent is deleted, all names that a node knows were drawn.
Lemma16_NamesWereDrawn ==
    "parent" \notin FEATURES =>
        \A n \in NODES : HasLife(n) =>
            /\ \A name \in ticket[n] : name.number <= tree.latch.drawn
            /\ \A view \in behind[n] : \A t \in view.latch.znodes :
                t.name.number <= tree.latch.drawn
            /\ C!Told(n, "TicketsListed") =>
                \A name \in C!Names(n) : name.number <= tree.latch.drawn

\* Unless names come back, a name that is of the present session in some view is so
\* in truth, if it is there at all.
Lemma17_ViewsAreRightAboutOwners ==
    \A n \in NODES : \A view \in behind[n] : \A t \in view.latch.znodes :
        /\ t.name.node = t.owner.node
        /\ t.owner.node = n => t.owner.number <= sessions[n]
        /\ ~NamesComeBack /\ t.owner = S!Present(n) =>
            \A u \in tree.latch.znodes : u.name = t.name => u.owner = S!Present(n)

\* Unless names come back, whoever found its ticket its own is right.
Lemma18_OwnersAreRight ==
    ~NamesComeBack => \A n \in NODES :
        \/ mode[n] \in OWNING
        \/ /\ C!Told(n, "TicketInspected")
           /\ C!AsTicketInspected(inbox[n]).session = sessions[n]
        => \A t \in ReliedOn(n) : t.owner = S!Present(n)

Lemmas ==
    /\ Lemma1_TicketsAreNumbered
    /\ Lemma2_SessionsAreNumbered
    /\ Lemma3_ConnectionsAreKnown
    /\ Lemma4_AnswersWereAskedFor
    /\ Lemma5_RequestsFitModes
    /\ Lemma6_WatchersWait
    /\ Lemma7_OneTicketReliedOn
    /\ Lemma8_NothingIsUnderWay
    /\ Lemma9_NoTicketBehindOnesBack
    /\ Lemma10_OneTicketASession
    /\ Lemma11_ViewsShowWhoIsAhead
    /\ Lemma12_ListsShowWhoIsAhead
    /\ Lemma13_OwnTicketsAreKnown
    /\ Lemma14_ClaimantsAreFirst
    /\ Lemma15_SessionsFollowEachOther
    /\ Lemma16_NamesWereDrawn
    /\ Lemma17_ViewsAreRightAboutOwners
    /\ Lemma18_OwnersAreRight

IndInv == TypeOK /\ Lemmas

\* --- What follows ---

\* Of the nodes that rely on a ticket of their present session, at most one believes
\* that it leads.
OneOwnerLeadsInv ==
    \A m, n \in NODES :
        /\ Believes(m) /\ ReliedOn(m) \intersect OwnTickets(m) /= {}
        /\ Believes(n) /\ ReliedOn(n) \intersect OwnTickets(n) /= {}
        => m = n

\* Unless names come back, that is all who rely on a ticket that exists.
LeadersAreOwnersInv == ~NamesComeBack => OneLiveLeaderInv /\ OwnTicketInv

Promises ==
    /\ OneRequestInv
    /\ OneTicketInv
    /\ KeepTicketInv
    /\ OneOwnerLeadsInv
    /\ LeadersAreOwnersInv
================================================================================
