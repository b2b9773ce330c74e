"""A distributed lock with leases. `tenant.py` and `lease_types.py` are derived from spec/."""
