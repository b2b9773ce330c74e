----------------------------- MODULE ElectionTypes -----------------------------
\* What a contender can be told and what it can ask for.
EXTENDS Integers, Variants

\* The name of a ticket: whose it is, and the number that ZooKeeper drew for it.
\* @typeAlias: ticketName = { node: NODE, number: Int };

\* The epoch znode as it was at one time: its name is the incarnation of the
\* ensemble, its version is what a write can be conditional on, and its data is
\* the epoch that users see.
\* @typeAlias: fence = { incarnation: Int, version: Int, epoch: Int };

\* Everything a contender can be told.
\* @typeAlias: input =
\*      NoInput(UNIT)
\*    | Connected({ session: Int })
\*    | Suspended(UNIT)
\*    | DeadlineReached(UNIT)
\*    | Synced(UNIT)
\*    | TicketsListed({ names: Set($ticketName) })
\*    | ParentGone(UNIT)
\*    | ParentCreated(UNIT)
\*    | TicketCreated(UNIT)
\*    | TicketInspected({ session: Int })
\*    | TicketChanged(UNIT)
\*    | TicketGone(UNIT)
\*    | EpochRead({ fence: $fence })
\*    | EpochMissing(UNIT)
\*    | EpochFounded(UNIT)
\*    | EpochRaised({ fence: $fence })
\*    | EpochMoved(UNIT)
\*    | WriteDone(UNIT)
\*    | WriteRefused(UNIT);

\* Everything a contender can ask for, one at a time.
\* @typeAlias: request =
\*      NoRequest(UNIT)
\*    | Sync(UNIT)
\*    | ListTickets(UNIT)
\*    | CreateParent(UNIT)
\*    | CreateTicket(UNIT)
\*    | InspectTicket({ ticket: $ticketName })
\*    | AwaitDeparture({ ticket: $ticketName })
\*    | DeleteTicket({ ticket: $ticketName })
\*    | ReadEpoch(UNIT)
\*    | FoundEpoch(UNIT)
\*    | RaiseEpoch({ fence: $fence, ticket: $ticketName })
\*    | WriteFenced({ fence: $fence, ticket: $ticketName, duty: DUTY })
\*    | CutConnection(UNIT);
election_typedefs == TRUE

\* --- Inputs ---

\* Nothing waits to be read.
\* @type: $input;
NoInput == Variant("NoInput", UNIT)

\* The connection is usable, under this session (the old one or a new one).
\* @type: Int => $input;
Connected(session) == Variant("Connected", [session |-> session])
\* @type: $input => { session: Int };
AsConnected(told) == VariantGetUnsafe("Connected", told)

\* The connection is down; the outcome of an outstanding request is unknown.
\* @type: $input;
Suspended == Variant("Suspended", UNIT)

\* No write was acknowledged for so long that our session may end at any moment.
\* @type: $input;
DeadlineReached == Variant("DeadlineReached", UNIT)

\* The server has caught up with all that was decided before we asked.
\* @type: $input;
Synced == Variant("Synced", UNIT)

\* The names of all tickets, in no order.
\* @type: Set($ticketName) => $input;
TicketsListed(names) == Variant("TicketsListed", [names |-> names])
\* @type: $input => { names: Set($ticketName) };
AsTicketsListed(told) == VariantGetUnsafe("TicketsListed", told)

\* The znode below which tickets are drawn does not exist.
\* @type: $input;
ParentGone == Variant("ParentGone", UNIT)

\* The znode below which tickets are drawn exists, whoever created it.
\* @type: $input;
ParentCreated == Variant("ParentCreated", UNIT)

\* The ticket asked for exists.
\* @type: $input;
TicketCreated == Variant("TicketCreated", UNIT)

\* The ticket inspected exists and belongs to this session.
\* @type: Int => $input;
TicketInspected(session) == Variant("TicketInspected", [session |-> session])
\* @type: $input => { session: Int };
AsTicketInspected(told) == VariantGetUnsafe("TicketInspected", told)

\* Something happened to the ticket awaited: a hint to look again, nothing more.
\* @type: $input;
TicketChanged == Variant("TicketChanged", UNIT)

\* The ticket inspected, awaited, deleted or relied on does not exist.
\* @type: $input;
TicketGone == Variant("TicketGone", UNIT)

\* The epoch znode is this.
\* @type: $fence => $input;
EpochRead(fence) == Variant("EpochRead", [fence |-> fence])
\* @type: $input => { fence: $fence };
AsEpochRead(told) == VariantGetUnsafe("EpochRead", told)

\* There is no epoch znode: the ensemble is new, or was wiped.
\* @type: $input;
EpochMissing == Variant("EpochMissing", UNIT)

\* There is an epoch znode, whoever created it.
\* @type: $input;
EpochFounded == Variant("EpochFounded", UNIT)

\* Our conditional write made the epoch znode this.
\* @type: $fence => $input;
EpochRaised(fence) == Variant("EpochRaised", [fence |-> fence])
\* @type: $input => { fence: $fence };
AsEpochRaised(told) == VariantGetUnsafe("EpochRaised", told)

\* The epoch znode is not what we expected; nothing was written.
\* @type: $input;
EpochMoved == Variant("EpochMoved", UNIT)

\* Fence and ticket were current: the write is applied, or not for reasons of its own.
\* @type: $input;
WriteDone == Variant("WriteDone", UNIT)

\* Fence or ticket is not current; nothing was written.
\* @type: $input;
WriteRefused == Variant("WriteRefused", UNIT)

\* --- Requests ---

\* Nothing is asked for.
\* @type: $request;
NoRequest == Variant("NoRequest", UNIT)

\* Have the server catch up with the leader of its ensemble.
\* @type: $request;
Sync == Variant("Sync", UNIT)

\* Read the names of all tickets.
\* @type: $request;
ListTickets == Variant("ListTickets", UNIT)

\* Create the znode below which tickets are drawn, unless it exists.
\* @type: $request;
CreateParent == Variant("CreateParent", UNIT)

\* Create an ephemeral sequential znode named after us.
\* @type: $request;
CreateTicket == Variant("CreateTicket", UNIT)

\* Read which session owns a ticket.
\* @type: $ticketName => $request;
InspectTicket(ticket) == Variant("InspectTicket", [ticket |-> ticket])
\* @type: $request => { ticket: $ticketName };
AsInspectTicket(asked) == VariantGetUnsafe("InspectTicket", asked)

\* See whether a ticket exists, and leave a watch on it if it does.
\* @type: $ticketName => $request;
AwaitDeparture(ticket) == Variant("AwaitDeparture", [ticket |-> ticket])
\* @type: $request => { ticket: $ticketName };
AsAwaitDeparture(asked) == VariantGetUnsafe("AwaitDeparture", asked)

\* Delete a ticket of ours.
\* @type: $ticketName => $request;
DeleteTicket(ticket) == Variant("DeleteTicket", [ticket |-> ticket])
\* @type: $request => { ticket: $ticketName };
AsDeleteTicket(asked) == VariantGetUnsafe("DeleteTicket", asked)

\* Read the epoch znode.
\* @type: $request;
ReadEpoch == Variant("ReadEpoch", UNIT)

\* Create the epoch znode under a new random name, unless there is one.
\* @type: $request;
FoundEpoch == Variant("FoundEpoch", UNIT)

\* Write the epoch znode if it is still this and our ticket exists.
\* @type: ($fence, $ticketName) => $request;
RaiseEpoch(fence, ticket) ==
    Variant("RaiseEpoch", [fence |-> fence, ticket |-> ticket])
\* @type: $request => { fence: $fence, ticket: $ticketName };
AsRaiseEpoch(asked) == VariantGetUnsafe("RaiseEpoch", asked)

\* Do a leader's duty if the epoch znode is still this and our ticket exists.
\* @type: ($fence, $ticketName, DUTY) => $request;
WriteFenced(fence, ticket, duty) ==
    Variant("WriteFenced", [fence |-> fence, ticket |-> ticket, duty |-> duty])
\* @type: $request => { fence: $fence, ticket: $ticketName, duty: DUTY };
AsWriteFenced(asked) == VariantGetUnsafe("WriteFenced", asked)

\* Cut the connection, so that whatever is outstanding comes to an end.
\* @type: $request;
CutConnection == Variant("CutConnection", UNIT)
================================================================================
