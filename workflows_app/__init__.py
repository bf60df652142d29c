"""The Django app: registry of workflows, commands, follower, API, live updates and admin."""
