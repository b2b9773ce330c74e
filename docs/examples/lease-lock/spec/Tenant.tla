--------------------------------- MODULE Tenant --------------------------------
\* When may a tenant work under the lease?
\*
\* A tenant looks who has the lease. If nobody has, it takes it, together with the
\* next term; if somebody has, it waits until that changes. If it finds a lease of
\* its own session, from before contact was lost, it renews it under a new term, so
\* that whatever it asked for under the old one can no longer happen. It holds the
\* lease until it is told that its connection is down, or that nothing was
\* acknowledged for too long.
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
    \* The session it was last told about, if any.
    \* @type: NODE -> Set(Int);
    \* @fact
    \* @optional
    session,
    \* The term under which it holds the lease, if it does.
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
    "offline",    \* not connected; relies on nothing
    "looking",    \* has asked who has the lease
    "waiting",    \* has asked to be told when the lease of another changes
    "taking",     \* has asked for the free lease
    "renewing",   \* has asked for a new term for the lease it has
    "holding",    \* holds the lease, nothing is asked
    "working",    \* holds the lease, has asked for work under it
    "returning",  \* has asked to give the lease back
    "severing"    \* has asked to cut a connection that does not answer
}

\* It was told this.
\* @type: (NODE, Str) => Bool;
Told(n, tag) == VariantTag(inbox[n]) = tag

\* The lease that is out belongs to our present session.
\* @type: NODE => Bool;
IsOurs(n) == session[n] = {AsLeaseSeen(inbox[n]).owner}

Init ==
    /\ mode = [n \in NODES |-> "offline"]
    /\ session = [n \in NODES |-> {}]
    /\ term = [n \in NODES |-> {}]
    /\ inbox = [n \in NODES |-> NoInput]
    /\ request = [n \in NODES |-> NoRequest]

\* --- Actions: the connection ---

\* Connected again: look who has the lease, for it may be ours.
Attach(n) ==
    /\ mode[n] = "offline"
    /\ Told(n, "Connected")
    /\ mode' = [mode EXCEPT ![n] = "looking"]
    /\ session' = [session EXCEPT ![n] = {AsConnected(inbox[n]).session}]
    /\ request' = [request EXCEPT ![n] = InspectLease]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<term, world>>

\* The connection is down: hold nothing and rely on nothing.
Suspend(n) ==
    /\ mode[n] /= "offline"
    /\ Told(n, "Suspended")
    /\ mode' = [mode EXCEPT ![n] = "offline"]
    /\ session' = [session EXCEPT ![n] = {}]
    /\ term' = [term EXCEPT ![n] = {}]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<request, world>>

\* Nothing was acknowledged for too long: stop before our lease can end, and get
\* rid of the connection that does not answer.
Lapse(n) ==
    /\ mode[n] \in {"holding", "working"}
    /\ Told(n, "DeadlineReached")
    /\ mode' = [mode EXCEPT ![n] = "severing"]
    /\ term' = [term EXCEPT ![n] = {}]
    /\ request' = [request EXCEPT ![n] = CutConnection]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, world>>

\* A deadline of a lease that we hold no longer: nothing depends on it any more.
Overlook(n) ==
    /\ mode[n] \notin {"holding", "working"}
    /\ Told(n, "DeadlineReached")
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<mode, session, term, request, world>>

\* --- Actions: getting the lease ---

\* Another session has the lease: wait until something happens to it.
Watch(n) ==
    /\ mode[n] = "looking"
    /\ Told(n, "LeaseSeen")
    /\ ~IsOurs(n)
    /\ mode' = [mode EXCEPT ![n] = "waiting"]
    /\ request' = [request EXCEPT ![n] = AwaitChange]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, term, world>>

\* Our own session has the lease: renew it, so that old requests come to nothing.
Adopt(n) ==
    /\ mode[n] = "looking"
    /\ Told(n, "LeaseSeen")
    /\ IsOurs(n)
    /\ mode' = [mode EXCEPT ![n] = "renewing"]
    /\ request' =
        [request EXCEPT ![n] = RenewLease(AsLeaseSeen(inbox[n]).term)]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, term, world>>

\* Nobody has the lease: take it, unless somebody else does first.
Take(n) ==
    /\ mode[n] = "looking"
    /\ Told(n, "LeaseFree")
    /\ mode' = [mode EXCEPT ![n] = "taking"]
    /\ request' =
        [request EXCEPT ![n] = TakeLease(AsLeaseFree(inbox[n]).term)]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, term, world>>

\* Something happened to the lease: look again, and conclude nothing from it.
Recheck(n) ==
    /\ mode[n] = "waiting"
    /\ Told(n, "LeaseChanged")
    /\ mode' = [mode EXCEPT ![n] = "looking"]
    /\ request' = [request EXCEPT ![n] = InspectLease]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, term, world>>

\* The lease is ours: whatever we do under it carries its term.
Hold(n) ==
    /\ mode[n] \in {"taking", "renewing"}
    /\ Told(n, "Granted")
    /\ mode' = [mode EXCEPT ![n] = "holding"]
    /\ term' = [term EXCEPT ![n] = {AsGranted(inbox[n]).term}]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, request, world>>

\* It is not as we thought: hold nothing, and look again.
Miss(n) ==
    /\ mode[n] \in {"taking", "renewing", "working"}
    /\ Told(n, "Denied")
    /\ mode' = [mode EXCEPT ![n] = "looking"]
    /\ term' = [term EXCEPT ![n] = {}]
    /\ request' = [request EXCEPT ![n] = InspectLease]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, world>>

\* --- Actions: having the lease ---

\* There is something to do under the lease.
\* @command: WorkDue;
Work(n) ==
    /\ mode[n] = "holding"
    /\ mode' = [mode EXCEPT ![n] = "working"]
    /\ request' = [request EXCEPT ![n] = DoWork(The(term[n]))]
    /\ UNCHANGED <<session, term, inbox, world>>

\* The work is done; we hold the lease still.
Proceed(n) ==
    /\ mode[n] = "working"
    /\ Told(n, "WorkDone")
    /\ mode' = [mode EXCEPT ![n] = "holding"]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, term, request, world>>

\* Others shall have it: stop holding the lease, then give it back.
\* @command: ReturnDue;
GiveBack(n) ==
    /\ mode[n] = "holding"
    /\ mode' = [mode EXCEPT ![n] = "returning"]
    /\ term' = [term EXCEPT ![n] = {}]
    /\ request' = [request EXCEPT ![n] = ReturnLease(The(term[n]))]
    /\ UNCHANGED <<session, inbox, world>>

\* The lease is not ours any more: look who has it now.
Finish(n) ==
    /\ mode[n] = "returning"
    /\ Told(n, "LeaseReturned")
    /\ mode' = [mode EXCEPT ![n] = "looking"]
    /\ request' = [request EXCEPT ![n] = InspectLease]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<session, term, world>>
================================================================================
