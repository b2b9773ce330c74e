-------------------------------- MODULE LeaseLock ------------------------------
\* Can two tenants both work under the lease, and does somebody have it in the end?
\*
\* Tenants (module Tenant) before a ZooKeeper (module LeaseServer). They share two
\* ports, inbox and request, and nothing else. This page composes them, lists
\* every action once, and says what the lock promises.
\*
\* Promises: OneWorkerProp, OneTermInv, OwnDeletesProp, WokenInv; OwnLeaseInv
\* without intruders; OneHolderInv with timely expiry; HeldProp once faults end.
EXTENDS Integers, Variants

CONSTANTS
    \* The tenants.
    \* @type: Set(NODE);
    NODES,
    \* What the environment may do; see LeaseServer.
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
    \* @type: NODE -> Set(Int);
    term,
    \* @type: NODE -> $leaseInput;
    inbox,
    \* @type: NODE -> $leaseRequest;
    request,
    \* @type: Int;
    version,
    \* @type: Set($lease);
    lease,
    \* @type: Int;
    opened,
    \* @type: NODE -> Int;
    sessions,
    \* @type: Set(Int);
    live,
    \* @type: NODE -> Str;
    link,
    \* @type: NODE -> Set($leaseFlight);
    late,
    \* @type: NODE -> Set($lease);
    watched,
    \* @type: Int;
    faults,
    \* @type: Set($work);
    ghostWork

tenantVars == <<mode, session, term>>
portVars == <<inbox, request>>
serverVars == <<version, lease, opened, sessions, live, link, late, watched,
                faults, ghostWork>>
vars == <<tenantVars, portVars, serverVars>>

T == INSTANCE Tenant WITH world <- serverVars
S == INSTANCE LeaseServer WITH world <- tenantVars

\* --- Behaviours ---

Init == T!Init /\ S!Init

\* What a tenant does because of what it was told.
React(n) ==
    \/ T!Attach(n)
    \/ T!Suspend(n)
    \/ T!Lapse(n)
    \/ T!Overlook(n)
    \/ T!Watch(n)
    \/ T!Adopt(n)
    \/ T!Take(n)
    \/ T!Recheck(n)
    \/ T!Hold(n)
    \/ T!Miss(n)
    \/ T!Proceed(n)
    \/ T!Finish(n)

\* Each return costs a term, so it needs what is left of the budget.
GiveBack(n) == S!MaySpend /\ T!GiveBack(n)

\* What the server does because a tenant asked.
Serve(n) ==
    \/ S!ServeInspect(n)
    \/ S!MissInspect(n)
    \/ S!ServeAwait(n)
    \/ S!MissAwait(n)
    \/ S!ServeGrant(n)
    \/ S!Refuse(n)
    \/ S!ServeWork(n)
    \/ S!ServeReturn(n)
    \/ S!MissReturn(n)

\* How contact comes back, or is noticed to be lost.
Connect(n) ==
    \/ S!OpenSession(n)
    \/ S!Reconnect(n)
    \/ S!CutOff(n)
    \/ S!Notice(n)

\* The deadline of a lease that is not held any more is reached all the same.
Ring(n) == mode[n] \notin {"holding", "working"} /\ S!Ring(n)

Next ==
    \/ \E n \in NODES :
        \/ React(n)
        \/ T!Work(n)
        \/ GiveBack(n)
        \/ Serve(n)
        \/ Connect(n)
        \/ S!Abandon(n)
        \/ S!Disconnect(n)
        \/ S!Elapse(n)
        \/ Ring(n)
        \/ S!Expire(n)
        \/ S!Notify(n)
        \/ S!ApplyLate(n)
        \/ S!DropLate(n)
        \/ S!Reap(n)
    \/ S!Intrude

Spec == Init /\ [][Next]_vars

\* Whoever can go on does so, and what was broken heals. Faults need not happen.
Fairness ==
    \A n \in NODES :
        /\ WF_vars(React(n))
        /\ WF_vars(T!Work(n))
        /\ WF_vars(Serve(n))
        /\ WF_vars(Connect(n))
        /\ WF_vars(S!Notify(n))
        /\ WF_vars(S!ApplyLate(n) \/ S!DropLate(n))
        /\ WF_vars(S!Reap(n))

LiveSpec == Spec /\ Fairness

\* --- Safety ---

\* The node holds the lease under the term that is the present one.
\* @type: NODE => Bool;
IsInOffice(n) == term[n] = {version}

\* Each term has at most one holder.
OneTermInv == \A m, n \in NODES : IsInOffice(m) /\ IsInOffice(n) => m = n

\* Whoever holds the lease under the present term and a live session has the lease
\* znode. Of models in which nobody else deletes it only.
OwnLeaseInv ==
    \A n \in NODES : IsInOffice(n) /\ S!IsAlive(n) =>
        \E l \in lease : l.owner = sessions[n]

\* At most one node holds the lease. Of models with timely expiry only.
OneHolderInv == \A m, n \in NODES : term[m] /= {} /\ term[n] /= {} => m = n

\* Whoever waits for the lease will be told when something happens to it.
WokenInv ==
    \A n \in NODES :
        /\ mode[n] = "waiting"
        /\ link[n] = "up"
        /\ S!IsAlive(n)
        /\ S!IsIdle(n)
        /\ request[n] = T!NoRequest
        => watched[n] /= {}

\* Accepted work never goes back to an earlier term, and each term has one worker.
OneWorkerActionInv ==
    \A old \in ghostWork : \A new \in ghostWork' :
        /\ old.term <= new.term
        /\ old.term = new.term => old.node = new.node

\* A node asks for the return of a lease, or did before contact was lost.
\* @type: $lease => Bool;
IsGivenBack(l) ==
    \E n \in NODES :
        \/ /\ sessions[n] = l.owner
           /\ VariantTag(request[n]) = "ReturnLease"
        \/ \E f \in late[n] :
            /\ f.session = l.owner
            /\ VariantTag(f.request) = "ReturnLease"

\* A lease goes with its session, by its own session's wish, or by a fault.
OwnDeletesActionInv ==
    \A l \in lease \ lease' :
        \/ l.owner \notin live'
        \/ IsGivenBack(l)
        \/ faults' /= faults /\ UNCHANGED inbox

OneWorkerProp == [][OneWorkerActionInv]_vars
OwnDeletesProp == [][OwnDeletesActionInv]_vars

\* --- Liveness, once faults end ---

\* Somebody holds the lease for good, under the present term.
HeldProp == <>[](\E n \in NODES : IsInOffice(n))

\* --- Examples: situations that are reachable, so their negations are violated ---

\* Work is done under a second term.
SecondTermExample == ~(\E w \in ghostWork : w.term = 2)

\* A node finds the lease of its own session, and renews it.
RenewedExample ==
    ~(\E n \in NODES : mode[n] = "holding" /\ version = 2 /\ opened = 1)

\* Two nodes believe to hold the lease; the term makes it harmless.
TwoHoldersExample ==
    ~(\E m, n \in NODES : m /= n /\ term[m] /= {} /\ term[n] /= {})

\* Work under an earlier term is still on its way.
LateWorkExample ==
    ~(\E n \in NODES : \E f \in late[n] :
        /\ VariantTag(f.request) = "DoWork"
        /\ T!AsDoWork(f.request).term < version)

\* A holder has stopped because of its deadline alone.
LapsedExample == ~(\E n \in NODES : mode[n] = "severing")
================================================================================
