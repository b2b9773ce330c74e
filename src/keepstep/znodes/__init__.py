"""What Keepstep stores in ZooKeeper: paths, names and bytes. Pure functions only."""
