"""From a specification to Python: read it, plan it, refuse what has no form, emit it.

- `sany` reads a module and all it extends or instantiates into the tree of `ast`.
- `comments` and `types` read what TLA+ has no syntax for: prose, marks and types.
- `plan` finds the role in a module, or refuses with a rule of docs/reference/subset.md.
- `emit` writes the role, and the vocabulary that it shares with others, as Python.

Nothing here is imported at run time by a derived machine.
"""
