"""The public test kit: what tests of stores, of the engine and of workflows need, without a cluster.

- :class:`rayflow.testing.store_tests.StoreTests`: what every store must do.
- :class:`rayflow.testing.memory_store.MemoryStore`: a store in memory.
- :class:`rayflow.testing.crash_store.CrashStore`: records operations, stops in the middle of one.
- :class:`rayflow.testing.flaky_store.FlakyStore`: fails when it is told to.
- :mod:`rayflow.testing.simulation`: a clock and a submitter for running workflows without Ray.
"""
