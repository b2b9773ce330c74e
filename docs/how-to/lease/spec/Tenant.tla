--------------------------------- MODULE Tenant --------------------------------
\* When does a tenant hold the lease?
EXTENDS LeaseTypes, Numbers

CONSTANT
    \* The tenants.
    \* @type: Set(NODE);
    NODES

\* @machine: Tenant(n);
VARIABLES
    \* Where each tenant is.
    \* @type: NODE -> Str;
    \* @state
    mode,
    \* The number of the lease that it holds, if it does.
    \* @type: NODE -> Set(Int);
    \* @fact
    \* @optional
    term,
    \* What it was told and has not read yet.
    \* @type: NODE -> $leaseInput;
    \* @inbox
    inbox,
    \* What it asked for and was not yet served.
    \* @type: NODE -> $leaseRequest;
    \* @outbox
    request,
    \* Everything that is not a tenant's.
    \* @type: WORLD;
    \* @world
    world

MODES == {
    "idle",      \* wants nothing
    "asking",    \* has asked for the lease
    "holding",   \* holds the lease
    "leaving"    \* has asked to give the lease back
}

\* It was told this.
\* @type: (NODE, Str) => Bool;
Told(n, tag) == VariantTag(inbox[n]) = tag

Init ==
    /\ mode = [n \in NODES |-> "idle"]
    /\ term = [n \in NODES |-> {}]
    /\ inbox = [n \in NODES |-> NoInput]
    /\ request = [n \in NODES |-> NoRequest]

\* The lease is wanted: ask for it.
\* @command: LeaseWanted;
Apply(n) ==
    /\ mode[n] = "idle"
    /\ mode' = [mode EXCEPT ![n] = "asking"]
    /\ request' = [request EXCEPT ![n] = AskForLease]
    /\ UNCHANGED <<term, inbox, world>>

\* The lease is ours: remember its number.
Hold(n) ==
    /\ mode[n] = "asking"
    /\ Told(n, "Granted")
    /\ mode' = [mode EXCEPT ![n] = "holding"]
    /\ term' = [term EXCEPT ![n] = {AsGranted(inbox[n]).term}]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<request, world>>

\* Somebody else has the lease: want nothing until told to.
Accept(n) ==
    /\ mode[n] = "asking"
    /\ Told(n, "Denied")
    /\ mode' = [mode EXCEPT ![n] = "idle"]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<term, request, world>>

\* The lease is wanted no longer: give it back.
\* @command: LeaseUnwanted;
Leave(n) ==
    /\ mode[n] = "holding"
    /\ mode' = [mode EXCEPT ![n] = "leaving"]
    /\ term' = [term EXCEPT ![n] = {}]
    /\ request' = [request EXCEPT ![n] = ReturnLease(The(term[n]))]
    /\ UNCHANGED <<inbox, world>>

\* The lease is free.
Finish(n) ==
    /\ mode[n] = "leaving"
    /\ Told(n, "Returned")
    /\ mode' = [mode EXCEPT ![n] = "idle"]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<term, request, world>>
================================================================================
