------------------------------- MODULE LeaseTypes ------------------------------
\* What a tenant can be told and what it can ask for.
EXTENDS Integers, Variants

\* Everything a tenant can be told.
\* @typeAlias: leaseInput =
\*      NoInput(UNIT)
\*    | Connected({ session: Int })
\*    | Suspended(UNIT)
\*    | DeadlineReached(UNIT)
\*    | LeaseSeen({ owner: Int, term: Int })
\*    | LeaseFree({ term: Int })
\*    | LeaseChanged(UNIT)
\*    | Granted({ term: Int })
\*    | Denied(UNIT)
\*    | WorkDone(UNIT)
\*    | LeaseReturned(UNIT);

\* Everything a tenant can ask for, one at a time.
\* @typeAlias: leaseRequest =
\*      NoRequest(UNIT)
\*    | InspectLease(UNIT)
\*    | AwaitChange(UNIT)
\*    | TakeLease({ term: Int })
\*    | RenewLease({ term: Int })
\*    | DoWork({ term: Int })
\*    | ReturnLease({ term: Int })
\*    | CutConnection(UNIT);
lease_typedefs == TRUE

\* --- Inputs ---

\* Nothing waits to be read.
\* @type: $leaseInput;
NoInput == Variant("NoInput", UNIT)

\* The connection is usable, under this session (the old one or a new one).
\* @type: Int => $leaseInput;
Connected(session) == Variant("Connected", [session |-> session])
\* @type: $leaseInput => { session: Int };
AsConnected(told) == VariantGetUnsafe("Connected", told)

\* The connection is down: whatever was asked may happen, or not.
\* @type: $leaseInput;
Suspended == Variant("Suspended", UNIT)

\* Nothing was acknowledged for as long as a lease lasts.
\* @type: $leaseInput;
DeadlineReached == Variant("DeadlineReached", UNIT)

\* The lease is out: the session that owns it, and its term.
\* @type: (Int, Int) => $leaseInput;
LeaseSeen(owner, term) ==
    Variant("LeaseSeen", [owner |-> owner, term |-> term])
\* @type: $leaseInput => { owner: Int, term: Int };
AsLeaseSeen(told) == VariantGetUnsafe("LeaseSeen", told)

\* Nobody has the lease; the last term was this.
\* @type: Int => $leaseInput;
LeaseFree(term) == Variant("LeaseFree", [term |-> term])
\* @type: $leaseInput => { term: Int };
AsLeaseFree(told) == VariantGetUnsafe("LeaseFree", told)

\* The lease that was out is gone, or something happened to it.
\* @type: $leaseInput;
LeaseChanged == Variant("LeaseChanged", UNIT)

\* The lease is ours, under this term.
\* @type: Int => $leaseInput;
Granted(term) == Variant("Granted", [term |-> term])
\* @type: $leaseInput => { term: Int };
AsGranted(told) == VariantGetUnsafe("Granted", told)

\* It is not as we thought: nothing was changed.
\* @type: $leaseInput;
Denied == Variant("Denied", UNIT)

\* The work is done, under our term.
\* @type: $leaseInput;
WorkDone == Variant("WorkDone", UNIT)

\* The lease that we gave back is not ours any more.
\* @type: $leaseInput;
LeaseReturned == Variant("LeaseReturned", UNIT)

\* --- Requests ---

\* Nothing is asked for.
\* @type: $leaseRequest;
NoRequest == Variant("NoRequest", UNIT)

\* Look who has the lease.
\* @type: $leaseRequest;
InspectLease == Variant("InspectLease", UNIT)

\* Say when something happens to the lease that is out.
\* @type: $leaseRequest;
AwaitChange == Variant("AwaitChange", UNIT)

\* Begin the term after this one, and have the lease; all or nothing.
\* @type: Int => $leaseRequest;
TakeLease(term) == Variant("TakeLease", [term |-> term])
\* @type: $leaseRequest => { term: Int };
AsTakeLease(asked) == VariantGetUnsafe("TakeLease", asked)

\* Begin the term after this one with the lease that we have; all or nothing.
\* @type: Int => $leaseRequest;
RenewLease(term) == Variant("RenewLease", [term |-> term])
\* @type: $leaseRequest => { term: Int };
AsRenewLease(asked) == VariantGetUnsafe("RenewLease", asked)

\* Do what the lease is for, if this is still the term.
\* @type: Int => $leaseRequest;
DoWork(term) == Variant("DoWork", [term |-> term])
\* @type: $leaseRequest => { term: Int };
AsDoWork(asked) == VariantGetUnsafe("DoWork", asked)

\* Take the lease of this term back.
\* @type: Int => $leaseRequest;
ReturnLease(term) == Variant("ReturnLease", [term |-> term])
\* @type: $leaseRequest => { term: Int };
AsReturnLease(asked) == VariantGetUnsafe("ReturnLease", asked)

\* Give up a connection that does not answer.
\* @type: $leaseRequest;
CutConnection == Variant("CutConnection", UNIT)
================================================================================
