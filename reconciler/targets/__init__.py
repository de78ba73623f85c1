"""Desired state and fleet → what is wanted on each host."""
