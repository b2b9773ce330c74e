-------------------------------- MODULE APA_Fences -------------------------------
\* Can a leadership ever contradict another, however much goes wrong?
\*
\* An inductive invariant about fences. It holds in any number of steps, with any
\* number of faults, sessions, tickets' numbers, epochs and wipes, whichever
\* features the environment has.
\*
\* The idea: whatever fence a node was ever handed is older than the epoch znode,
\* or is the epoch znode, which then names this node as its leader. Tickets play no
\* part: whatever decides who may raise the epoch, fences keep their promise.
EXTENDS LeaderElection, Apalache

\* Everything that an environment may do.
ALL_FEATURES == {"bare", "late", "stragglers", "queued", "abandon", "sticky watches",
    "deadline", "expiry", "timely", "ghosts", "stale", "intruder", "parent", "wipe"}

Any ==
    /\ DUTIES = {"d1_OF_DUTY"}
    /\ FEATURES \in SUBSET ALL_FEATURES
    /\ FAULTS \in Int

TwoNodes == NODES = {"n1_OF_NODE", "n2_OF_NODE"} /\ Any

ThreeNodes == NODES = {"n1_OF_NODE", "n2_OF_NODE", "n3_OF_NODE"} /\ Any

FourNodes ==
    NODES = {"n1_OF_NODE", "n2_OF_NODE", "n3_OF_NODE", "n4_OF_NODE"} /\ Any

\* Any state with two tickets, two late requests of each node, two live sessions, and
\* one name in a list or in an older view at most. Numbers are not bounded. No lemma
\* speaks of more than one of these at a time.
TypeOK ==
    /\ mode \in [NODES -> C!MODES]
    /\ session = [n \in NODES |-> Gen(1)]
    /\ ticket = [n \in NODES |-> Gen(1)]
    /\ fence = [n \in NODES |-> Gen(1)]
    /\ inbox = [n \in NODES |-> Gen(1)]
    /\ request = [n \in NODES |-> Gen(1)]
    /\ tree = [latch |-> Gen(2), epochs |-> Gen(2)]
    /\ sessions \in [NODES -> Int]
    /\ live = Gen(2)
    /\ link \in [NODES -> S!LINKS]
    /\ late = [n \in NODES |-> Gen(2)]
    /\ \E isBehind \in [NODES -> BOOLEAN] :
        behind = [n \in NODES |->
            IF isBehind[n] THEN {[latch |-> Gen(1), epochs |-> Gen(2)]} ELSE {}]
    /\ watched = [n \in NODES |-> Gen(1)]
    /\ wipes \in Int
    /\ faults \in Int
    /\ ghostWrite = Gen(2)

\* --- What is meant by a fence that was handed out ---

\* The epoch that users see is the version.
\* @type: $fence => Bool;
IsEven(f) == f.epoch = f.version

\* A fence is older than the epoch znode, or is the epoch znode as this node made
\* it.
\* @type: (NODE, $fence) => Bool;
IsRightful(n, f) ==
    /\ IsEven(f)
    /\ f.incarnation <= wipes
    /\ f.incarnation = wipes =>
        \E e \in tree.epochs.znodes :
            /\ f.version <= e.version
            /\ f.version = e.version => e.leader = {n}

\* What a request carries was read, or was handed to the node that asks.
\* @type: (NODE, $request) => Bool;
IsHonest(n, asked) ==
    /\ VariantTag(asked) = "RaiseEpoch" =>
        IsEven(C!AsRaiseEpoch(asked).fence)
    /\ VariantTag(asked) = "WriteFenced" =>
        IsRightful(n, C!AsWriteFenced(asked).fence)

\* --- Lemmas ---

\* There is one epoch znode, if any; it is of the present incarnation, and nobody
\* is its leader before it is raised.
Lemma1_OneEpochZnode ==
    /\ tree.epochs.exists = (tree.epochs.znodes /= {})
    /\ \A e \in tree.epochs.znodes :
        /\ e.name = wipes
        /\ e.version >= 0
        /\ e.epoch = e.version
        /\ e.version = 0 => e.leader = {}
        /\ \A other \in tree.epochs.znodes : other = e

\* Whoever leads has one fence, and nobody else has any.
Lemma2_LeadersHoldFences ==
    \A n \in NODES :
        /\ Believes(n) = (fence[n] /= {})
        /\ \A f, g \in fence[n] : f = g

\* Every fence held was handed to its holder.
Lemma3_FencesHeldAreRightful ==
    \A n \in NODES : \A f \in fence[n] : IsRightful(n, f)

\* Every fence on its way to a node was handed to it.
Lemma4_FencesToldAreRightful ==
    \A n \in NODES :
        /\ C!Told(n, "EpochRaised") =>
            IsRightful(n, C!AsEpochRaised(inbox[n]).fence)
        /\ C!Told(n, "EpochRead") => IsEven(C!AsEpochRead(inbox[n]).fence)

\* Every fence that a node asks with, or asked with before contact was lost, was
\* read, or handed to it.
Lemma5_FencesAskedWithAreRightful ==
    \A n \in NODES :
        /\ IsHonest(n, request[n])
        /\ \A f \in late[n] : IsHonest(n, f.request)

\* A server that is behind is at one earlier time, with an epoch of the same form.
Lemma6_ViewsAreEven ==
    \A n \in NODES : \A view \in behind[n] :
        /\ behind[n] = {view}
        /\ \A e \in view.epochs.znodes : e.epoch = e.version

\* The last accepted write carried a fence that was handed to its node.
Lemma7_WritesAreRightful ==
    /\ \A w \in ghostWrite : IsRightful(w.node, w.fence)
    /\ \A w, x \in ghostWrite : w = x

Lemmas ==
    /\ wipes >= 0
    /\ Lemma1_OneEpochZnode
    /\ Lemma2_LeadersHoldFences
    /\ Lemma3_FencesHeldAreRightful
    /\ Lemma4_FencesToldAreRightful
    /\ Lemma5_FencesAskedWithAreRightful
    /\ Lemma6_ViewsAreEven
    /\ Lemma7_WritesAreRightful

IndInv == TypeOK /\ Lemmas

\* --- What follows ---

\* One step of the contenders before ZooKeeper is one step of abstract/OneLeader, or
\* none.
OneLeaderActionInv ==
    \/ O!Next
    \/ /\ NewestEpoch' = NewestEpoch
       /\ NewestLeader' = NewestLeader
       /\ AcceptedWrite' = AcceptedWrite

\* What each step keeps, so that one run is enough for all.
StepPromises == OneWriterActionInv /\ EpochsAscendActionInv /\ OneLeaderActionInv
================================================================================
