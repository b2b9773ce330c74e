-------------------------------- MODULE OneLeader -------------------------------
\* What does leader election promise to whoever relies on it?
\*
\* A leadership is an epoch and the node that raised it. Epochs only rise; each is
\* given to one node; only the node of the newest epoch gets a write accepted, and
\* only under that epoch. An ensemble that loses its data begins a new incarnation
\* with epochs of its own, and nothing of an earlier one is accepted any more.
\*
\* A protocol that needs a leader builds on this page, not on the latch.
EXTENDS Integers

CONSTANT
    \* Who may lead.
    \* @type: Set(NODE);
    NODES

VARIABLES
    \* The incarnation and the newest epoch in it; no epoch after a wipe is 0.
    \* @type: { incarnation: Int, epoch: Int };
    newest,
    \* Who was given the newest epoch, if anybody.
    \* @type: Set(NODE);
    leader,
    \* The last write accepted, if any: when, and whose.
    \* @type: Set({ incarnation: Int, epoch: Int, node: NODE });
    accepted

vars == <<newest, leader, accepted>>

Init ==
    /\ newest = [incarnation |-> 0, epoch |-> 0]
    /\ leader = {}
    /\ accepted = {}

\* A node is given the next epoch.
Elect(n) ==
    /\ newest' = [newest EXCEPT !.epoch = @ + 1]
    /\ leader' = {n}
    /\ UNCHANGED accepted

\* A write of the leader is accepted.
Accept(n) ==
    /\ leader = {n}
    /\ accepted' = {[incarnation |-> newest.incarnation,
                     epoch |-> newest.epoch, node |-> n]}
    /\ UNCHANGED <<newest, leader>>

\* The ensemble loses all its data.
Wipe ==
    /\ newest' = [incarnation |-> newest.incarnation + 1, epoch |-> 0]
    /\ leader' = {}
    /\ UNCHANGED accepted

Next == Wipe \/ \E n \in NODES : Elect(n) \/ Accept(n)

Spec == Init /\ [][Next]_vars
================================================================================
