"""Runs of whole systems in memory, how they are guided, and what runs have shown."""
