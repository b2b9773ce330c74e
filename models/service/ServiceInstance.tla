----------------------------- MODULE ServiceInstance -----------------------------
\* Do the operators of ZooKeeperService keep what clients rely on?
\*
\* A leader and one follower, a few sessions, one path of two names. Every step that
\* is accepted is a step here; what is refused changes nothing, which is asked of all
\* operations in every state. Sessions are open from the beginning.
EXTENDS ZooKeeperService, ZooKeeper

CONSTANTS
    \* The sessions: 1 begins at the leader, the others at the follower.
    \* @type: Set(Int);
    SESSIONS,
    \* How many transactions there may be.
    \* @type: Int;
    TRANSACTIONS,
    \* The kinds of reads that set watches.
    \* @type: Set(Str);
    READS

VARIABLES
    \* The service as its leader knows it.
    \* @type: $service;
    service,
    \* The tree as far as the follower has applied it.
    \* @type: $tree;
    follower,
    \* The transactions that the follower has not applied: each tree, and what changed.
    \* @type: Seq({ tree: $tree, changes: Seq(Set($change)) });
    pending,
    \* The watches of all sessions.
    \* @type: Set($watch);
    watches

vars == <<service, follower, pending, watches>>

LEADER == 1
FOLLOWER == 2

\* --- What is asked ---

\* The paths of a tree.
\* @type: $tree => Set($path);
Paths(tree) == DOMAIN tree

\* The sessions that live.
\* @type: $service => Set(Int);
Living(of) == DOMAIN of.sessions

\* @type: $path;
Above == <<Plain("a")>>

\* @type: $path;
Below == Append(Above, Plain("b"))

\* @type: (Str, $path, Int, Bool, Bool) => $operation;
Asked(kind, path, version, ephemeral, sequential) ==
    [kind |-> kind, path |-> path, proper |-> TRUE, data |-> NoData,
     version |-> version, ephemeral |-> ephemeral, sequential |-> sequential]

\* @type: () => Set($operation);
Creates ==
    { Asked("create", Above, AnyVersion, FALSE, FALSE),
      Asked("create", Below, AnyVersion, TRUE, FALSE),
      Asked("create", Below, AnyVersion, FALSE, TRUE),
      Asked("create", Below, AnyVersion, TRUE, TRUE) }

\* @type: () => Set($operation);
Conditional ==
    { Asked(kind, path, version, FALSE, FALSE) :
        kind \in {"delete", "set"}, path \in {Above, Below}, version \in {AnyVersion, 0} }

\* Deletes of znodes with a number, which no constant names.
\* @type: () => Set($operation);
Numbered ==
    { Asked("delete", path, AnyVersion, FALSE, FALSE) :
        path \in { p \in Paths(service.tree) : Len(p) = 2 /\ Parent(p) = Above } }

\* @type: () => Set($operation);
Operations == Creates \union Conditional \union Numbered

\* The operations of which two make a multi.
\* @type: () => Set($operation);
Few ==
    { Asked("create", Above, AnyVersion, FALSE, FALSE),
      Asked("create", Below, AnyVersion, FALSE, TRUE),
      Asked("set", Above, 0, FALSE, FALSE),
      Asked("check", Above, 1, FALSE, FALSE),
      Asked("delete", Above, AnyVersion, FALSE, FALSE) }

\* --- Init and steps ---

\* The first name is there already, so that few transactions go far.
\* @type: () => $tree;
FirstTree ==
    Put(Put(NewTree, Root, WithChild(NewTree[Root], NameOf(Above), 0)),
        Above, NewZnode(NoData, NoSession, 0))

Init ==
    /\ service = [tree |-> FirstTree,
                  sessions |-> [s \in SESSIONS |-> IF s = 1 THEN LEADER ELSE FOLLOWER],
                  zxid |-> 0]
    /\ follower = FirstTree
    /\ pending = <<>>
    /\ watches = {}

\* The watches that one of several changes fires at a server.
\* @type: (Int, Seq(Set($change))) => Set($watch);
Fired(server, changes) ==
    { w \in watches :
        /\ service.sessions[w.session] = server
        /\ \E i \in DOMAIN changes : \E c \in changes[i] : Concerns(w, c) }

\* The leader decides; its own clients are told at once.
\* @type: $decision => Bool;
Decided(decision) ==
    /\ decision.error = "OK"
    /\ decision.service.zxid <= TRANSACTIONS
    /\ service' = decision.service
    /\ pending' = Append(pending,
           [tree |-> decision.service.tree, changes |-> decision.changes])
    /\ UNCHANGED follower

\* A session asks for one operation.
Write(s) ==
    \E operation \in Operations :
        LET decision == Decide(service, s, service.sessions[s], <<operation>>)
        IN /\ Decided(decision)
           /\ watches' = watches \ Fired(LEADER, decision.changes)

\* A session asks for two operations in one transaction.
WriteBoth(s) ==
    \E first \in Few, second \in Few :
        LET decision == Decide(service, s, service.sessions[s], <<first, second>>)
        IN /\ Decided(decision)
           /\ watches' = watches \ Fired(LEADER, decision.changes)

\* A session ends; its own watches go with it.
End(s) ==
    LET decision == Closed(service, s)
    IN /\ Decided(decision)
       /\ watches' = WithoutSession(watches \ Fired(LEADER, decision.changes), s)

\* A session goes on at the other server, without its watches. That server has
\* applied all that the session may have seen.
Move(s) ==
    /\ pending = <<>>
    /\ service' = Resumed(service, s, IF service.sessions[s] = LEADER
                                      THEN FOLLOWER ELSE LEADER)
    /\ watches' = WithoutSession(watches, s)
    /\ UNCHANGED <<follower, pending>>

\* The tree that a session reads.
\* @type: Int => $tree;
Shown(s) == IF service.sessions[s] = LEADER THEN service.tree ELSE follower

\* A session reads and watches. Watches do not concern each other, so one at a time.
Read(s) ==
    \E read \in READS, path \in {Above, Below} :
        /\ watches = {}
        /\ watches' = watches \union WatchSetBy(Shown(s), s, read, path)
        /\ UNCHANGED <<service, follower, pending>>

\* The follower applies a transaction and tells its clients.
Follow ==
    /\ pending /= <<>>
    /\ follower' = Head(pending).tree
    /\ pending' = Tail(pending)
    /\ watches' = watches \ Fired(FOLLOWER, Head(pending).changes)
    /\ UNCHANGED service

Next ==
    \/ \E s \in Living(service) :
        \/ Write(s)
        \/ WriteBoth(s)
        \/ End(s)
        \/ Move(s)
        \/ Read(s)
    \/ Follow

Spec == Init /\ [][Next]_vars

\* --- What must hold ---

\* Every znode but the root has a parent, and a parent names exactly its children.
\* @type: $tree => Bool;
IsTree(tree) ==
    /\ Root \in DOMAIN tree
    /\ \A p \in DOMAIN tree \ {Root} :
        Parent(p) \in DOMAIN tree /\ NameOf(p) \in tree[Parent(p)].children
    /\ \A p \in DOMAIN tree : \A name \in tree[p].children : Append(p, name) \in DOMAIN tree

TreeInv == IsTree(service.tree) /\ IsTree(follower)

\* Ephemerals have no children, and their sessions live.
EphemeralInv ==
    \A p \in Paths(service.tree) :
        LET znode == service.tree[p]
        IN znode.owner /= NoSession =>
            znode.children = {} /\ znode.owner \in Living(service)

\* Numbers below a parent were drawn by it, and are not drawn again.
NumberInv ==
    \A p \in Paths(service.tree) :
        \A name \in service.tree[p].children : name.number < service.tree[p].creates
            \/ name.number = NoNumber

\* Of a znode's transactions that which made it is the oldest; none is of the future.
OrderInv ==
    \A p \in Paths(service.tree) :
        LET znode == service.tree[p]
        IN /\ znode.czxid <= znode.mzxid /\ znode.czxid <= znode.pzxid
           /\ znode.mzxid <= service.zxid /\ znode.pzxid <= service.zxid

\* Whatever is asked is done as a whole or not at all, and says which.
AtomicInv ==
    \A s \in Living(service) : \A first \in Few, second \in Few :
        LET decision == Decide(service, s, service.sessions[s], <<first, second>>)
        IN /\ Len(decision.results) = 2
           /\ decision.error = "OK" <=>
                \A i \in DOMAIN decision.results : decision.results[i].error = "OK"
           /\ decision.error /= "OK" =>
                decision.service.tree = service.tree /\ decision.changes = <<>>

\* A session that is gone, or has moved, changes nothing.
FenceInv ==
    \A s \in SESSIONS : \A server \in {LEADER, FOLLOWER} : \A operation \in Creates :
        (s \notin Living(service) \/ service.sessions[s] /= server) =>
            Decide(service, s, server, <<operation>>).service.tree = service.tree

\* A version counts the sets of one znode: it moves with mzxid, and only forward.
VersionProp ==
    [][\A p \in Paths(service.tree) \intersect Paths(service'.tree) :
        LET before == service.tree[p]
            after == service'.tree[p]
        IN before.czxid = after.czxid =>
            /\ before.version <= after.version
            /\ before.mzxid = after.mzxid <=> before.version = after.version]_vars

\* What a watch is about, as its session sees it.
\* @type: $watch => { there: Bool, made: Int, written: Int, names: Set($name) };
Watched(w) ==
    LET tree == Shown(w.session)
    IN [there |-> w.path \in DOMAIN tree,
        made |-> IF w.path \in DOMAIN tree THEN tree[w.path].czxid ELSE 0,
        written |-> IF w.path \in DOMAIN tree /\ w.kind = "data"
                    THEN tree[w.path].mzxid ELSE 0,
        names |-> IF w.path \in DOMAIN tree /\ w.kind = "children"
                  THEN tree[w.path].children ELSE {}]

\* Nothing that is watched changes unless its watch fires.
WatchProp == [][\A w \in watches \intersect watches' : Watched(w)' = Watched(w)]_vars

\* Sequence numbers of a parent never go back while it exists.
DrawProp ==
    [][\A p \in Paths(service.tree) \intersect Paths(service'.tree) :
        service.tree[p].czxid = service'.tree[p].czxid =>
            service.tree[p].creates <= service'.tree[p].creates]_vars

\* --- The same directories as in the module ZooKeeper ---

\* A parent as the module of the elections has it. That module counts sequential
\* creates only; here every create counts, so its numbers are compared by order alone.
\* @type: ($tree, $path) => { exists: Bool, drawn: Int,
\*     znodes: Set({ name: $name, owner: $zooSession, version: Int }) };
DirectoryOf(tree, path) ==
    IF path \notin DOMAIN tree THEN NoDirectory
    ELSE [exists |-> TRUE, drawn |-> 0,
          znodes |-> { [name |-> name,
                        owner |-> [node |-> "n_OF_NODE",
                                   number |-> tree[Append(path, name)].owner],
                        version |-> tree[Append(path, name)].version] :
                       name \in tree[path].children }]

\* What one operation does below a path is what the operators of ZooKeeper say.
DirectoryInv ==
    \A s \in Living(service) : \A operation \in Operations :
        LET decision == Decide(service, s, service.sessions[s], <<operation>>)
            path == decision.results[1].path
            before == DirectoryOf(service.tree, Parent(path))
            after == DirectoryOf(decision.service.tree, Parent(path))
            made == [name |-> NameOf(path),
                     owner |-> [node |-> "n_OF_NODE",
                                number |-> IF operation.ephemeral THEN s ELSE NoSession],
                     version |-> 0]
        IN decision.error = "OK" =>
            CASE operation.kind = "create" ->
                    ~Has(before, NameOf(path)) /\ after = Created(before, made)
              [] operation.kind = "delete" -> after = Deleted(before, NameOf(path))
              [] OTHER -> \E z \in Named(before, NameOf(path)) :
                    after = Written(before, [z EXCEPT !.version = @ + 1])

\* The end of a session is a purge of every directory.
PurgeInv ==
    \A s \in Living(service) : \A p \in Paths(service.tree) :
        DirectoryOf(Closed(service, s).service.tree, p) =
            IF service.tree[p].owner = s THEN NoDirectory
            ELSE Purged(DirectoryOf(service.tree, p),
                        [node |-> "n_OF_NODE", number |-> s])
================================================================================
