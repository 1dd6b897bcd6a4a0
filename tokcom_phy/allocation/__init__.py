"""Bandwidth, power and token lengths of the users, chosen together; docs/allocation.md derives it."""
