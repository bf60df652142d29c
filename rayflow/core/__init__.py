"""The pure core: records, state, planner, retry, ids. Standard library only: no I/O, no clock, no Ray."""
