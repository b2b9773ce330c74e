---------------------------------- MODULE Lease --------------------------------
\* Can two tenants hold the lease at once?
EXTENDS LeaseTypes

CONSTANTS
    \* The tenants.
    \* @type: Set(NODE);
    NODES,
    \* How many leases there are in a behaviour.
    \* @type: Int;
    TERMS

VARIABLES
    \* @type: NODE -> Str;
    mode,
    \* @type: NODE -> Set(Int);
    term,
    \* @type: NODE -> $leaseInput;
    inbox,
    \* @type: NODE -> $leaseRequest;
    request,
    \* The number of the lease that is out, if one is.
    \* @type: Set(Int);
    lent,
    \* How many leases were given.
    \* @type: Int;
    given

vars == <<mode, term, inbox, request, lent, given>>

T == INSTANCE Tenant WITH world <- <<lent, given>>

\* A tenant asks for this, and has nothing to read.
\* @type: (NODE, Str) => Bool;
Asks(n, tag) == VariantTag(request[n]) = tag /\ inbox[n] = NoInput

Init == T!Init /\ lent = {} /\ given = 0

\* The lease is free: give it.
Grant(n) ==
    /\ Asks(n, "AskForLease")
    /\ lent = {}
    /\ given < TERMS
    /\ given' = given + 1
    /\ lent' = {given + 1}
    /\ inbox' = [inbox EXCEPT ![n] = Granted(given + 1)]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<mode, term>>

\* The lease is out.
Refuse(n) ==
    /\ Asks(n, "AskForLease")
    /\ lent /= {}
    /\ inbox' = [inbox EXCEPT ![n] = Denied]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<mode, term, lent, given>>

\* The lease of a number comes back.
TakeBack(n) ==
    /\ Asks(n, "ReturnLease")
    /\ lent' = lent \ {AsReturnLease(request[n]).term}
    /\ inbox' = [inbox EXCEPT ![n] = Returned]
    /\ request' = [request EXCEPT ![n] = NoRequest]
    /\ UNCHANGED <<mode, term, given>>

Next ==
    \E n \in NODES :
        \/ T!Apply(n)
        \/ T!Hold(n)
        \/ T!Accept(n)
        \/ T!Leave(n)
        \/ T!Finish(n)
        \/ Grant(n)
        \/ Refuse(n)
        \/ TakeBack(n)

Spec == Init /\ [][Next]_vars

\* At most one tenant holds the lease.
OneHolderInv ==
    \A m, n \in NODES : mode[m] = "holding" /\ mode[n] = "holding" => m = n

\* Somebody holds the second lease, so leases are given again.
SecondExample == ~(\E n \in NODES : term[n] = {2})
================================================================================
