"""Real ZooKeeper servers: started, asked, and read without a client's help."""
