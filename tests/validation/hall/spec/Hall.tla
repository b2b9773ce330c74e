----------------------------------- MODULE Hall --------------------------------
\* A hall in which customers call each other, the lowest number first.
EXTENDS Integers, Variants

CONSTANTS
    \* @type: Set(NODE);
    NODES,
    \* @type: Int;
    DRAWS,
    \* @type: Int;
    STEP

VARIABLES
    \* @type: NODE -> Str;
    mode,
    \* @type: NODE -> Set(Int);
    ticket,
    \* @type: NODE -> $hallInput;
    inbox,
    \* @type: NODE -> $hallRequest;
    request,
    \* @type: Int;
    next,
    \* @type: NODE -> Set(Int);
    queue,
    \* @type: Int;
    draws

C == INSTANCE Clerk WITH world <- <<next, queue, draws>>

Init == C!Init /\ next = 0 /\ queue = [n \in NODES |-> {}] /\ draws = 0

IsIdle(n) == VariantTag(inbox[n]) = "NoInput"

Issue(n) ==
    /\ draws < DRAWS
    /\ VariantTag(request[n]) = "DrawTicket"
    /\ IsIdle(n)
    /\ draws' = draws + 1
    /\ next' = next + STEP
    /\ queue' = [queue EXCEPT ![n] = {next}]
    /\ inbox' = [inbox EXCEPT ![n] = C!Drawn(next)]
    /\ request' = [request EXCEPT ![n] = C!NoRequest]
    /\ UNCHANGED <<mode, ticket>>

\* One node calls another, whose number is the lowest of all.
Call(m, n) ==
    /\ IsIdle(n)
    /\ queue[n] /= {}
    /\ \A other \in NODES : \A t \in queue[other] : \A own \in queue[n] : own <= t
    /\ queue' = [queue EXCEPT ![n] = {}]
    /\ inbox' = [inbox EXCEPT ![n] = C!Called(m)]
    /\ UNCHANGED <<mode, ticket, request, next, draws>>

Next ==
    \E n \in NODES :
        \/ C!Draw(n)
        \/ C!Keep(n)
        \/ C!Attend(n)
        \/ Issue(n)
        \/ \E m \in NODES : Call(m, n)
================================================================================
