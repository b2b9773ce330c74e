-------------------------------- MODULE ZooKeeper --------------------------------
\* What does a ZooKeeper ensemble do to its data, and what can a client know of it?
\*
\* The vocabulary of every environment module: pure operators, no variables. A
\* protocol's server module keeps the data its protocol needs in variables of its
\* own, maps its few typed requests to these operators, and says which of the
\* faults below may happen. A path is a directory and a name in it.
\*
\* Modelled: data as the leader of the ensemble decides it (one total order);
\* versions, sequence numbers, ephemerals and their sessions, checks of a multi;
\* servers that are behind; connections that are lost before the client knows;
\* one-shot watches; requests that are applied though nobody hears of them.
\* Abstracted: several directory levels; ACLs; sizes; zxids (a view is a value).
\*
\* Sources: ZooKeeper's guarantees and its 3.9 server as observed;
\* docs/explanation/zookeeper-facts.md has each fact with the test that shows it.
EXTENDS Integers

\* --- Directories: the znodes below one parent ---

\* A directory says whether the parent exists, how many sequence numbers it has
\* given out, and what is below it. A znode is a record that has at least a name;
\* an ephemeral one has an owner, the session it lives and dies with.

\* A parent with nothing below it, newly created: its numbers start again.
\* @type: () => { exists: Bool, drawn: Int, znodes: Set(a) };
EmptyDirectory == [exists |-> TRUE, drawn |-> 0, znodes |-> {}]

\* A parent that does not exist.
\* @type: () => { exists: Bool, drawn: Int, znodes: Set(a) };
NoDirectory == [exists |-> FALSE, drawn |-> 0, znodes |-> {}]

\* The znodes of a directory that have a name: one or none.
\* @type: ({ exists: Bool, drawn: Int, znodes: Set({ name: a, b }) }, a) =>
\*     Set({ name: a, b });
Named(directory, name) == { z \in directory.znodes : z.name = name }

\* A name exists in a directory; also `check` without a version in a multi.
\* @type: ({ exists: Bool, drawn: Int, znodes: Set({ name: a, b }) }, a) => Bool;
Has(directory, name) == Named(directory, name) /= {}

\* The names in a directory, as getChildren tells them.
\* @type: { exists: Bool, drawn: Int, znodes: Set({ name: a, b }) } => Set(a);
Names(directory) == { z.name : z \in directory.znodes }

\* The number that the next sequential create in a directory draws. It counts
\* creates, leaves gaps, and starts again with the parent.
\* @type: { exists: Bool, drawn: Int, znodes: Set({ name: a, b }) } => Int;
NextNumber(directory) == directory.drawn + 1

\* A directory after a create. The caller has checked parent and name.
\* @type: ({ exists: Bool, drawn: Int, znodes: Set({ name: a, b }) },
\*     { name: a, b }) => { exists: Bool, drawn: Int, znodes: Set({ name: a, b }) };
Created(directory, znode) ==
    [directory EXCEPT !.znodes = @ \union {znode}]

\* A directory after a sequential create; the name has the number just drawn.
\* @type: ({ exists: Bool, drawn: Int, znodes: Set({ name: a, b }) },
\*     { name: a, b }) => { exists: Bool, drawn: Int, znodes: Set({ name: a, b }) };
Drawn(directory, znode) ==
    [directory EXCEPT !.znodes = @ \union {znode}, !.drawn = @ + 1]

\* A directory after a delete, whether or not the name was there.
\* @type: ({ exists: Bool, drawn: Int, znodes: Set({ name: a, b }) }, a) =>
\*     { exists: Bool, drawn: Int, znodes: Set({ name: a, b }) };
Deleted(directory, name) ==
    [directory EXCEPT !.znodes = { z \in @ : z.name /= name }]

\* A directory after a set: the new znode stands in for the one of its name.
\* @type: ({ exists: Bool, drawn: Int, znodes: Set({ name: a, b }) },
\*     { name: a, b }) => { exists: Bool, drawn: Int, znodes: Set({ name: a, b }) };
Written(directory, znode) ==
    [directory EXCEPT
        !.znodes = { z \in @ : z.name /= znode.name } \union {znode}]

\* A directory after the end of a session: its ephemerals are gone.
\* @type: ({ exists: Bool, drawn: Int, znodes: Set({ owner: $zooSession, b }) },
\*     $zooSession) => { exists: Bool, drawn: Int, znodes: Set({ owner: $zooSession, b }) };
Purged(directory, session) ==
    [directory EXCEPT !.znodes = { z \in @ : z.owner /= session }]

\* --- Sessions and connections ---

\* A session is a node and a number: the sessions of one node are numbered, so
\* that states do not depend on the order in which different nodes connect.
\* ZooKeeper's own session ids are global.
\* @typeAlias: zooSession = { node: NODE, number: Int };
zookeeper_typedefs == TRUE

\* How a client is connected. Contact is lost before the client is told.
LINKS == {
    "up",      \* requests are served and answers arrive
    "cut",     \* no contact any more; the client was told nothing yet
    "warned",  \* no contact; the client was told that its deadline is reached
    "down"     \* no contact; the client was told that it is suspended
}

\* --- What clients see ---

\* The data that a client may read: what was decided, or the older data at which
\* the server it is connected to stopped following.
\* @type: (a, Set(a)) => Set(a);
Views(decided, behind) == IF behind = {} THEN {decided} ELSE behind
================================================================================
