------------------------------- MODULE Apalache -------------------------------
\* TLC's stand-in for Apalache's module of this name, as far as it is used here.
\* Apalache brings its own and must not find this one.
EXTENDS Integers, Sequences

\* What an operator makes of a start and the elements of a sequence, from the left.
ApaFoldSeqLeft(Op(_, _), start, sequence) ==
    LET Folded[n \in 0..Len(sequence)] ==
            IF n = 0 THEN start ELSE Op(Folded[n - 1], sequence[n])
    IN Folded[Len(sequence)]
================================================================================
