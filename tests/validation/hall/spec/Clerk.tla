---------------------------------- MODULE Clerk --------------------------------
\* Whose turn is it? A customer draws a ticket, and waits to be called.
EXTENDS Integers, Variants

\* @typeAlias: hallInput = NoInput(UNIT) | Drawn({ ticket: Int }) | Called({ caller: NODE });
\* @typeAlias: hallRequest = NoRequest(UNIT) | DrawTicket(UNIT);
hall_typedefs == TRUE

\* @type: $hallInput;
NoInput == Variant("NoInput", UNIT)
\* @type: Int => $hallInput;
Drawn(ticket) == Variant("Drawn", [ticket |-> ticket])
\* @type: $hallInput => { ticket: Int };
AsDrawn(told) == VariantGetUnsafe("Drawn", told)
\* @type: NODE => $hallInput;
Called(caller) == Variant("Called", [caller |-> caller])
\* @type: $hallRequest;
NoRequest == Variant("NoRequest", UNIT)
\* @type: $hallRequest;
DrawTicket == Variant("DrawTicket", UNIT)

CONSTANT
    \* @type: Set(NODE);
    NODES

\* @machine: Clerk(n);
VARIABLES
    \* @type: NODE -> Str;
    \* @state
    mode,
    \* @type: NODE -> Set(Int);
    \* @fact
    \* @optional
    ticket,
    \* @type: NODE -> $hallInput;
    \* @inbox
    inbox,
    \* @type: NODE -> $hallRequest;
    \* @outbox
    request,
    \* @type: WORLD;
    \* @world
    world

MODES == {"idle", "drawing", "waiting"}

Init ==
    /\ mode = [n \in NODES |-> "idle"]
    /\ ticket = [n \in NODES |-> {}]
    /\ inbox = [n \in NODES |-> NoInput]
    /\ request = [n \in NODES |-> NoRequest]

\* There is something to be done here.
\* @command: DrawDue;
Draw(n) ==
    /\ mode[n] = "idle"
    /\ mode' = [mode EXCEPT ![n] = "drawing"]
    /\ request' = [request EXCEPT ![n] = DrawTicket]
    /\ UNCHANGED <<ticket, inbox, world>>

\* Our number: wait until it is called.
Keep(n) ==
    /\ mode[n] = "drawing"
    /\ VariantTag(inbox[n]) = "Drawn"
    /\ mode' = [mode EXCEPT ![n] = "waiting"]
    /\ ticket' = [ticket EXCEPT ![n] = {AsDrawn(inbox[n]).ticket}]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<request, world>>

\* It is our turn.
Attend(n) ==
    /\ mode[n] = "waiting"
    /\ VariantTag(inbox[n]) = "Called"
    /\ mode' = [mode EXCEPT ![n] = "idle"]
    /\ ticket' = [ticket EXCEPT ![n] = {}]
    /\ inbox' = [inbox EXCEPT ![n] = NoInput]
    /\ UNCHANGED <<request, world>>
================================================================================
