"""TLC and Apalache as subprocesses: where they come from, how they run, what they found out."""
