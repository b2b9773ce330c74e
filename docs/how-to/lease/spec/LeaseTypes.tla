------------------------------- MODULE LeaseTypes ------------------------------
\* What a tenant can be told and what it can ask for.
EXTENDS Integers, Variants

\* Everything a tenant can be told.
\* @typeAlias: leaseInput =
\*      NoInput(UNIT)
\*    | Granted({ term: Int })
\*    | Denied(UNIT)
\*    | Returned(UNIT);

\* Everything a tenant can ask for, one at a time.
\* @typeAlias: leaseRequest =
\*      NoRequest(UNIT)
\*    | AskForLease(UNIT)
\*    | ReturnLease({ term: Int });
lease_typedefs == TRUE

\* Nothing waits to be read.
\* @type: $leaseInput;
NoInput == Variant("NoInput", UNIT)

\* The lease is ours, under this number.
\* @type: Int => $leaseInput;
Granted(term) == Variant("Granted", [term |-> term])
\* @type: $leaseInput => { term: Int };
AsGranted(told) == VariantGetUnsafe("Granted", told)

\* Somebody else has the lease.
\* @type: $leaseInput;
Denied == Variant("Denied", UNIT)

\* The lease is free again.
\* @type: $leaseInput;
Returned == Variant("Returned", UNIT)

\* Nothing is asked for.
\* @type: $leaseRequest;
NoRequest == Variant("NoRequest", UNIT)

\* Ask for the lease.
\* @type: $leaseRequest;
AskForLease == Variant("AskForLease", UNIT)

\* Give the lease of this number back.
\* @type: Int => $leaseRequest;
ReturnLease(term) == Variant("ReturnLease", [term |-> term])
\* @type: $leaseRequest => { term: Int };
AsReturnLease(asked) == VariantGetUnsafe("ReturnLease", asked)
================================================================================
