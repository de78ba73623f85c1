"""What is done next, for the fleet and for one app; what it is expected to change; the plan. Pure."""
