"""The next step of the fleet and of each app, what an action is expected to change, and the plan. Pure."""
