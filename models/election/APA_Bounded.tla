------------------------------- MODULE APA_Bounded -------------------------------
\* What can happen next, from situations that take many steps to get into?
\*
\* Each predicate below is a state in the midst of the protocol, with values for
\* every variable. TLC has walked to CreateBehindARestart; that the others can be
\* reached is seen by reading. A bounded search from it goes deeper into what matters
\* than one from the beginning, with every feature of the environment and more faults
\* than TLC can afford.
EXTENDS LeaderElection, Apalache

N1 == "n1_OF_NODE"
N2 == "n2_OF_NODE"
D1 == "d1_OF_DUTY"

\* Two contenders before the worst of environments, with six faults to come.
TwoNodes ==
    /\ NODES = {N1, N2}
    /\ DUTIES = {D1}
    /\ FEATURES = {"late", "queued", "abandon", "deadline", "expiry", "ghosts",
        "stale", "intruder", "parent", "wipe"}
    /\ FAULTS = 6

\* --- Words for the situations ---

\* One value for the first node, another for the second.
\* @type: (a, a) => NODE -> a;
Each(first, second) == [n \in NODES |-> IF n = N1 THEN first ELSE second]

\* @type: (NODE, Int) => $ticketName;
Name(n, number) == [node |-> n, number |-> number]

\* @type: (NODE, Int) => $zooSession;
Session(n, number) == [node |-> n, number |-> number]

\* @type: (NODE, Int, Int) => $ticket;
Ticket(n, number, owner) == [name |-> Name(n, number), owner |-> Session(n, owner)]

\* @type: Int => $fence;
Fence(version) == [incarnation |-> 0, version |-> version, epoch |-> version]

\* @type: (Set($ticket), Int, Int, Set(NODE)) => $tree;
Tree(tickets, drawn, version, leader) ==
    [latch |-> [exists |-> TRUE, drawn |-> drawn, znodes |-> tickets],
     epochs |-> [exists |-> TRUE, drawn |-> 0, znodes |->
        {[name |-> 0, version |-> version, epoch |-> version, leader |-> leader]}]]

\* --- Situations ---

\* The first node leads; the second waits for its ticket to go.
LeaderAndWaiter ==
    /\ mode = Each("leading", "waiting")
    /\ session = Each({1}, {1})
    /\ ticket = Each({Name(N1, 1)}, {})
    /\ fence = Each({Fence(1)}, {})
    /\ inbox = Each(C!NoInput, C!NoInput)
    /\ request = Each(C!NoRequest, C!NoRequest)
    /\ tree = Tree({Ticket(N1, 1, 1), Ticket(N2, 2, 1)}, 2, 1, {N1})
    /\ sessions = Each(1, 1)
    /\ live = {Session(N1, 1), Session(N2, 1)}
    /\ link = Each("up", "up")
    /\ late = Each({}, {})
    /\ behind = Each({}, {})
    /\ watched = Each({}, {Name(N1, 1)})
    /\ wipes = 0
    /\ faults = 0
    /\ ghostWrite = {}

\* The first node led, lost contact with a write under way, and does not know yet;
\* somebody deleted its ticket. The second leads, and has written.
DeposedLeaderWithLateWrite ==
    /\ mode = Each("writing", "leading")
    /\ session = Each({1}, {1})
    /\ ticket = Each({Name(N1, 1)}, {Name(N2, 2)})
    /\ fence = Each({Fence(1)}, {Fence(2)})
    /\ inbox = Each(C!NoInput, C!NoInput)
    /\ request = Each(C!NoRequest, C!NoRequest)
    /\ tree = Tree({Ticket(N2, 2, 1)}, 2, 2, {N2})
    /\ sessions = Each(1, 1)
    /\ live = {Session(N1, 1), Session(N2, 1)}
    /\ link = Each("cut", "up")
    /\ late = Each(
        {[session |-> 1, request |-> C!WriteFenced(Fence(1), Name(N1, 1), D1)]}, {})
    /\ behind = Each({}, {})
    /\ watched = Each({}, {})
    /\ wipes = 0
    /\ faults = 2
    /\ ghostWrite = {[fence |-> Fence(2), node |-> N2]}

\* The first node gave a session up that lives, and was told under its next one who
\* owns the first ticket: the session that it gave up. The second waits for it to go.
AbandonedTicketFirst ==
    /\ mode = Each("verifying", "waiting")
    /\ session = Each({2}, {1})
    /\ ticket = Each({Name(N1, 1)}, {})
    /\ fence = Each({}, {})
    /\ inbox = Each(C!TicketInspected(1), C!NoInput)
    /\ request = Each(C!NoRequest, C!NoRequest)
    /\ tree = Tree({Ticket(N1, 1, 1), Ticket(N2, 2, 1)}, 2, 1, {N1})
    /\ sessions = Each(2, 1)
    /\ live = {Session(N1, 1), Session(N1, 2), Session(N2, 1)}
    /\ link = Each("up", "up")
    /\ late = Each({}, {})
    /\ behind = Each({}, {})
    /\ watched = Each({}, {Name(N1, 1)})
    /\ wipes = 0
    /\ faults = 2
    /\ ghostWrite = {}

\* The first node gave a session up that lives, with a create under way, and leads
\* under its next one. Somebody deleted its second ticket and the parent. The second
\* node put the parent back, and leads by the first ticket drawn below it.
CreateBehindARestart ==
    /\ mode = Each("leading", "leading")
    /\ session = Each({2}, {1})
    /\ ticket = Each({Name(N1, 2)}, {Name(N2, 1)})
    /\ fence = Each({Fence(1)}, {Fence(2)})
    /\ inbox = Each(C!NoInput, C!NoInput)
    /\ request = Each(C!NoRequest, C!NoRequest)
    /\ tree = Tree({Ticket(N2, 1, 1)}, 1, 2, {N2})
    /\ sessions = Each(2, 1)
    /\ live = {Session(N1, 1), Session(N1, 2), Session(N2, 1)}
    /\ link = Each("up", "up")
    /\ late = Each({[session |-> 1, request |-> C!CreateTicket]}, {})
    /\ behind = Each({}, {})
    /\ watched = Each({}, {})
    /\ wipes = 0
    /\ faults = 5
    /\ ghostWrite = {}

\* --- Promises, each of states and steps ---

StatePromises ==
    /\ OneRequestInv
    /\ OneFenceInv
    /\ OneLiveLeaderInv
    /\ OwnTicketInv
    /\ OneTicketInv
    /\ KeepTicketInv

StepPromises == OneWriterActionInv /\ EpochsAscendActionInv
================================================================================
