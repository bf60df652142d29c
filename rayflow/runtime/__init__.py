"""Everything that runs: the engine actor, workers, the connection to Ray. The only importer of Ray."""
