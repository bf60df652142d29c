"""The pure core: records, state, planner, retry, ids. No I/O, no clock, no Ray."""
