"""Elections under test, on real servers and in memory: the world, suite, campaigns, records."""
