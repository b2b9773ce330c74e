"""Whether the derived classes are the specification: system graph, role table, disjointness."""
