---------------------------- MODULE ZooKeeperService ----------------------------
\* What does ZooKeeper answer, and what becomes of its data, request by request?
\*
\* The environment module as a whole service: a tree of znodes with all that a stat
\* tells, sessions, transactions that are applied as a whole or not at all, watches
\* that fire once. Pure operators, no variables; Keepstep's fake ZooKeeper is derived
\* from them, and one conformance kit asks the fake and real servers the same.
\*
\* Modelled: what the leader decides, in one order, and what clients can observe of
\* it. A server that is behind answers reads from an earlier tree.
\* Abstracted: time (a session may end at any moment), ACLs, quotas, sizes, container
\* and TTL znodes, persistent watches, reconfiguration.
\*
\* Sources: ZooKeeper's guarantees and its 3.9 server as observed; the kit's checks
\* and tests/simulation/test_fake_and_real.py compare every operator with it.
EXTENDS Integers, Sequences, FiniteSets, Apalache

\* --- Names and paths ---

\* A name: what was asked for, and the number that ends it. Ten digits at the end of
\* a name are its number, whether the server drew it or a client wrote it.
\* @typeAlias: name = { stem: Str, number: Int };
\*
\* The names from the root down; the root itself has none.
\* @typeAlias: path = Seq($name);
\*
\* A znode. `creates` counts its children ever made, and the zxids say which
\* transaction made it, wrote it, and last made or deleted a child of it.
\* @typeAlias: znode = { data: DATA, owner: Int, children: Set($name), creates: Int,
\*     version: Int, czxid: Int, mzxid: Int, pzxid: Int };
\*
\* Every znode that exists, by its path.
\* @typeAlias: tree = $path -> $znode;
\*
\* What a client is told of a znode besides data and names below it.
\* @typeAlias: stat = { czxid: Int, mzxid: Int, pzxid: Int, version: Int,
\*     cversion: Int, owner: Int, children: Int };
service_typedefs == TRUE

\* The path with which all paths begin.
\* @type: () => $path;
Root == <<>>

\* The number of a name that does not end in ten digits.
NoNumber == -1

\* The owner of a znode that outlives the session that made it.
NoSession == 0

\* The version that any znode has, for a write that does not care.
AnyVersion == -1

\* The data of a znode that nobody gave any.
\* @type: () => DATA;
NoData == "none_OF_DATA"

\* The path of the znode above.
\* @type: $path => $path;
Parent(path) == SubSeq(path, 1, Len(path) - 1)

\* The last name of a path that has one.
\* @type: $path => $name;
NameOf(path) == path[Len(path)]

\* A name that no server has drawn.
\* @type: Str => $name;
Plain(stem) == [stem |-> stem, number |-> NoNumber]

\* ZooKeeper's own znodes, which cannot be deleted.
\* @type: () => Set($path);
Reserved == {
    Root,
    <<Plain("zookeeper")>>,
    <<Plain("zookeeper"), Plain("config")>>,
    <<Plain("zookeeper"), Plain("quota")>>
}

\* --- Trees ---

\* The tree with one znode more, or another one in its place.
\* @type: ($tree, $path, $znode) => $tree;
Put(tree, path, znode) ==
    [p \in DOMAIN tree \union {path} |-> IF p = path THEN znode ELSE tree[p]]

\* The tree without some of its znodes.
\* @type: ($tree, Set($path)) => $tree;
Without(tree, paths) == [p \in DOMAIN tree \ paths |-> tree[p]]

\* A new znode.
\* @type: (DATA, Int, Int) => $znode;
NewZnode(data, owner, zxid) ==
    [data |-> data, owner |-> owner, children |-> {}, creates |-> 0, version |-> 0,
     czxid |-> zxid, mzxid |-> zxid, pzxid |-> zxid]

\* What a new ZooKeeper holds. Nobody asked for the znodes below the root, so they do
\* not count as made.
\* @type: () => $tree;
NewTree ==
    [p \in Reserved |->
        [NewZnode(NoData, NoSession, 0) EXCEPT
            !.children = { NameOf(q) : q \in { r \in Reserved \ {Root} : Parent(r) = p } }]]

\* A znode below which a child was made. Its number of creates is what the next
\* sequential child is called; deleting takes nothing away from it.
\* @type: ($znode, $name, Int) => $znode;
WithChild(znode, name, zxid) ==
    [znode EXCEPT !.children = @ \union {name}, !.creates = @ + 1, !.pzxid = zxid]

\* A znode below which children were deleted, if there are such.
\* @type: ($znode, Set($name), Int) => $znode;
WithoutChildren(znode, names, zxid) ==
    IF names = {} THEN znode
    ELSE [znode EXCEPT !.children = @ \ names, !.pzxid = zxid]

\* What a stat tells of a znode. The version of its children counts those made and
\* those deleted.
\* @type: $znode => $stat;
StatOf(znode) ==
    [czxid |-> znode.czxid, mzxid |-> znode.mzxid, pzxid |-> znode.pzxid,
     version |-> znode.version,
     cversion |-> 2 * znode.creates - Cardinality(znode.children),
     owner |-> znode.owner, children |-> Cardinality(znode.children)]

\* --- One operation ---

\* An operation of a transaction: "create", "delete", "set" or "check". What a client
\* wrote as its path may be none: then it is not `proper`. What its kind has no use
\* for is ignored.
\* @typeAlias: operation = { kind: Str, path: $path, proper: Bool, data: DATA,
\*     version: Int, ephemeral: Bool, sequential: Bool };
\*
\* A znode was "created", "deleted" or "changed".
\* @typeAlias: change = { kind: Str, path: $path };
operation_typedefs == TRUE

\* The path that a create makes; the parent of a sequential one must exist.
\* @type: ($tree, $operation) => $path;
Target(tree, operation) ==
    IF operation.sequential
    THEN Append(
        Parent(operation.path),
        [stem |-> NameOf(operation.path).stem,
         number |-> tree[Parent(operation.path)].creates])
    ELSE operation.path

\* A znode has the version that a write is conditional on.
\* @type: ($znode, Int) => Bool;
HasVersion(znode, version) == version = AnyVersion \/ version = znode.version

\* Why a create is refused, or "OK".
\* @type: ($tree, $operation) => Str;
CreateError(tree, operation) ==
    CASE operation.path = Root -> "NodeExists"
      [] Parent(operation.path) \notin DOMAIN tree -> "NoNode"
      [] ~operation.proper -> "BadArguments"
      [] Target(tree, operation) \in DOMAIN tree -> "NodeExists"
      [] tree[Parent(operation.path)].owner /= NoSession -> "NoChildrenForEphemerals"
      [] OTHER -> "OK"

\* Why a delete is refused, or "OK".
\* @type: ($tree, $operation) => Str;
DeleteError(tree, operation) ==
    CASE ~operation.proper \/ operation.path \in Reserved -> "BadArguments"
      [] operation.path \notin DOMAIN tree -> "NoNode"
      [] ~HasVersion(tree[operation.path], operation.version) -> "BadVersion"
      [] tree[operation.path].children /= {} -> "NotEmpty"
      [] OTHER -> "OK"

\* Why a set or a check is refused, or "OK".
\* @type: ($tree, $operation) => Str;
VersionError(tree, operation) ==
    CASE ~operation.proper -> "BadArguments"
      [] operation.path \notin DOMAIN tree -> "NoNode"
      [] ~HasVersion(tree[operation.path], operation.version) -> "BadVersion"
      [] OTHER -> "OK"

\* Why an operation is refused, or "OK".
\* @type: ($tree, $operation) => Str;
ErrorOf(tree, operation) ==
    CASE operation.kind = "create" -> CreateError(tree, operation)
      [] operation.kind = "delete" -> DeleteError(tree, operation)
      [] OTHER -> VersionError(tree, operation)

\* The tree after a create that is not refused.
\* @type: ($tree, Int, Int, $operation) => $tree;
AfterCreate(tree, session, zxid, operation) ==
    LET path == Target(tree, operation)
        owner == IF operation.ephemeral THEN session ELSE NoSession
        above == WithChild(tree[Parent(path)], NameOf(path), zxid)
    IN Put(Put(tree, Parent(path), above), path, NewZnode(operation.data, owner, zxid))

\* The tree after a znode is deleted that has no children.
\* @type: ($tree, Int, $path) => $tree;
AfterDelete(tree, zxid, path) ==
    LET above == WithoutChildren(tree[Parent(path)], {NameOf(path)}, zxid)
    IN Put(Without(tree, {path}), Parent(path), above)

\* The tree after a set that is not refused. What was made and when stays.
\* @type: ($tree, Int, $operation) => $tree;
AfterSet(tree, zxid, operation) ==
    LET before == tree[operation.path]
    IN Put(tree, operation.path,
           [before EXCEPT !.data = operation.data, !.version = @ + 1, !.mzxid = zxid])

\* The tree after an operation that is not refused.
\* @type: ($tree, Int, Int, $operation) => $tree;
After(tree, session, zxid, operation) ==
    CASE operation.kind = "create" -> AfterCreate(tree, session, zxid, operation)
      [] operation.kind = "delete" -> AfterDelete(tree, zxid, operation.path)
      [] operation.kind = "set" -> AfterSet(tree, zxid, operation)
      [] OTHER -> tree

\* What an operation changes that is not refused.
\* @type: ($tree, $operation) => Set($change);
ChangeOf(tree, operation) ==
    CASE operation.kind = "create" ->
            {[kind |-> "created", path |-> Target(tree, operation)]}
      [] operation.kind = "delete" -> {[kind |-> "deleted", path |-> operation.path]}
      [] operation.kind = "set" -> {[kind |-> "changed", path |-> operation.path]}
      [] OTHER -> {}

\* --- Transactions and sessions ---

\* The whole service as its leader knows it: the tree, each living session with the
\* server that it is connected to or was last, and the newest transaction.
\* @typeAlias: service = { tree: $tree, sessions: Int -> Int, zxid: Int };
\*
\* What an operation came to: "OK" or why it was refused, the path it was about or
\* made, and the znode as a set left it or a check found it.
\* @typeAlias: result = { error: Str, path: $path, seen: Set($znode) };
\*
\* What was decided: the service after it, why it was refused or "OK", the result of
\* each operation, and the changes one after the other; those of one set happen in
\* any order.
\* @typeAlias: decision = { service: $service, error: Str, results: Seq($result),
\*     changes: Seq(Set($change)) };
\*
\* How far a transaction got.
\* @typeAlias: attempt = { tree: $tree, error: Str, results: Seq($result),
\*     changes: Seq(Set($change)) };
transaction_typedefs == TRUE

\* The result of an operation that is refused or not looked at.
\* @type: (Str, $operation) => $result;
Failure(error, operation) == [error |-> error, path |-> operation.path, seen |-> {}]

\* The result of an operation that is done, with the tree before it and after it.
\* @type: ($tree, $tree, $operation) => $result;
Success(before, tree, operation) ==
    [error |-> "OK",
     path |-> IF operation.kind = "create" THEN Target(before, operation)
              ELSE operation.path,
     seen |-> IF operation.kind \in {"set", "check"} THEN {tree[operation.path]} ELSE {}]

\* The attempt after an operation that is done, with the tree after it.
\* @type: ($attempt, $tree, $operation) => $attempt;
Succeeded(attempt, tree, operation) ==
    [tree |-> tree,
     error |-> "OK",
     results |-> Append(attempt.results, Success(attempt.tree, tree, operation)),
     changes |-> Append(attempt.changes, ChangeOf(attempt.tree, operation))]

\* The attempt after one operation more. After one that failed the rest are not
\* looked at: that they were not applied has a name of its own.
\* @type: ($attempt, Int, Int, $operation) => $attempt;
Continued(attempt, session, zxid, operation) ==
    LET error == ErrorOf(attempt.tree, operation)
    IN IF attempt.error /= "OK"
       THEN [attempt EXCEPT
           !.results = Append(@, Failure("RuntimeInconsistency", operation))]
       ELSE IF error /= "OK"
       THEN [attempt EXCEPT
           !.error = error, !.results = Append(@, Failure(error, operation))]
       ELSE Succeeded(
           attempt, After(attempt.tree, session, zxid, operation), operation)

\* All operations, one after the other, each on what those before it left.
\* @type: ($tree, Int, Int, Seq($operation)) => $attempt;
CarriedOut(tree, session, zxid, operations) ==
    LET \* @type: ($attempt, $operation) => $attempt;
        AndThen(attempt, operation) == Continued(attempt, session, zxid, operation)
    IN ApaFoldSeqLeft(
        AndThen, [tree |-> tree, error |-> "OK", results |-> <<>>, changes |-> <<>>],
        operations)

\* Why a session may ask nothing of a server, or "OK".
\* @type: ($service, Int, Int) => Str;
SessionError(service, session, server) ==
    CASE session \notin DOMAIN service.sessions -> "SessionExpired"
      [] service.sessions[session] /= server -> "SessionMoved"
      [] OTHER -> "OK"

\* A request is refused as a whole. It takes its place in the order all the same.
\* @type: ($service, Str, Seq($result)) => $decision;
Refused(service, error, results) ==
    [service |-> [service EXCEPT !.zxid = @ + 1], error |-> error,
     results |-> results, changes |-> <<>>]

\* The leader decides a write: one operation, or several in one transaction, of which
\* all are applied or none.
\* @type: ($service, Int, Int, Seq($operation)) => $decision;
Decide(service, session, server, operations) ==
    LET refusal == SessionError(service, session, server)
        attempt == CarriedOut(service.tree, session, service.zxid + 1, operations)
    IN IF refusal /= "OK" THEN Refused(service, refusal, <<>>)
       ELSE IF attempt.error /= "OK"
       THEN Refused(service, attempt.error, attempt.results)
       ELSE [service |-> [service EXCEPT !.tree = attempt.tree, !.zxid = @ + 1],
             error |-> "OK", results |-> attempt.results, changes |-> attempt.changes]

\* A new session, at a server.
\* @type: ($service, Int, Int) => $service;
Opened(service, session, server) ==
    [service EXCEPT
        !.sessions = [s \in DOMAIN service.sessions \union {session} |->
            IF s = session THEN server ELSE service.sessions[s]],
        !.zxid = @ + 1]

\* A session that lives goes on at a server; requests that it sent elsewhere before
\* and that are not decided yet will be refused.
\* @type: ($service, Int, Int) => $service;
Resumed(service, session, server) ==
    [service EXCEPT
        !.sessions = [s \in DOMAIN service.sessions |->
            IF s = session THEN server ELSE service.sessions[s]]]

\* The paths of a session's ephemerals.
\* @type: ($tree, Int) => Set($path);
Ephemerals(tree, session) == { p \in DOMAIN tree : tree[p].owner = session }

\* The names below a path among those of several paths.
\* @type: (Set($path), $path) => Set($name);
NamesBelow(paths, path) == { NameOf(p) : p \in { q \in paths : Parent(q) = path } }

\* The tree without the ephemerals of a session.
\* @type: ($tree, Int, Int) => $tree;
AfterSession(tree, session, zxid) ==
    LET gone == Ephemerals(tree, session)
    IN [p \in DOMAIN tree \ gone |->
        WithoutChildren(tree[p], NamesBelow(gone, p), zxid)]

\* A session ends, closed by its client or expired by the leader: its ephemerals go
\* with it, in one transaction.
\* @type: ($service, Int) => $decision;
Closed(service, session) ==
    IF session \notin DOMAIN service.sessions
    THEN Refused(service, "SessionExpired", <<>>)
    ELSE [service |->
              [tree |-> AfterSession(service.tree, session, service.zxid + 1),
               sessions |-> [s \in DOMAIN service.sessions \ {session} |->
                   service.sessions[s]],
               zxid |-> service.zxid + 1],
          error |-> "OK", results |-> <<>>,
          changes |-> << { [kind |-> "deleted", path |-> p] :
              p \in Ephemerals(service.tree, session) } >>]

\* --- Servers ---

\* A server serves a client only if it has applied all that the client has seen.
\* @type: (Int, Int) => Bool;
MayServe(applied, seen) == seen <= applied

\* --- Watches ---

\* A watch of a session at its server: "data" for the znode itself, there or not, or
\* "children" for the names below it.
\* @typeAlias: watch = { kind: Str, path: $path, session: Int };
\*
\* What a session is told: that the znode was "created", "deleted" or "changed", or
\* that its "children" changed.
\* @typeAlias: event = { session: Int, told: Str, path: $path };
watch_typedefs == TRUE

\* The watch that a read sets, if it sets one: "data", "exists" or "children". Only
\* exists may watch for a znode that is not there.
\* @type: ($tree, Int, Str, $path) => Set($watch);
WatchSetBy(tree, session, read, path) ==
    CASE read = "exists" -> {[kind |-> "data", path |-> path, session |-> session]}
      [] path \notin DOMAIN tree -> {}
      [] OTHER -> {[kind |-> read, path |-> path, session |-> session]}

\* A change concerns a watch.
\* @type: ($watch, $change) => Bool;
Concerns(watch, change) ==
    CASE watch.kind = "data" -> watch.path = change.path
      [] change.kind = "changed" -> FALSE
      [] change.kind = "deleted" /\ watch.path = change.path -> TRUE
      [] OTHER -> change.path /= Root /\ watch.path = Parent(change.path)

\* The watches that a change fires; they are gone by it.
\* @type: (Set($watch), $change) => Set($watch);
FiredBy(watches, change) == { w \in watches : Concerns(w, change) }

\* What a fired watch tells. A session that watches a znode and its children is told
\* once that the znode was deleted.
\* @type: ($watch, $change) => $event;
EventOf(watch, change) ==
    [session |-> watch.session,
     told |-> IF watch.path = change.path THEN change.kind ELSE "children",
     path |-> watch.path]

\* What is told because of a change.
\* @type: (Set($watch), $change) => Set($event);
EventsOf(watches, change) ==
    { EventOf(w, change) : w \in FiredBy(watches, change) }

\* The watches without those of a session whose connection ended.
\* @type: (Set($watch), Int) => Set($watch);
WithoutSession(watches, session) == { w \in watches : w.session /= session }
================================================================================
