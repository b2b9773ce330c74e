"""The functional core: no input, output, clock, thread, randomness or logging."""
