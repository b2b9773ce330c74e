-------------------------------- MODULE Numbers --------------------------------
\* Extremes of finite non-empty sets of integers, and the element of a set that
\* has exactly one. Each is unique, so CHOOSE means the same to TLC, to Apalache
\* and to Python's min, max and the.
EXTENDS Integers

\* @type: Set(Int) => Int;
Min(set) == CHOOSE least \in set : \A other \in set : least <= other

\* @type: Set(Int) => Int;
Max(set) == CHOOSE greatest \in set : \A other \in set : other <= greatest

\* @type: Set(a) => a;
The(set) == CHOOSE element \in set : TRUE
================================================================================
