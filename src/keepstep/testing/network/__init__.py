"""What lies between clients and servers: ports, the wire, and ways that break on purpose."""
