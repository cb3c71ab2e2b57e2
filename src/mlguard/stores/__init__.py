"""Stores of states and leases that processes share."""
