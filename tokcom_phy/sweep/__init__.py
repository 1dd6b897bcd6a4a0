"""How an experiment is run: scheduling, workers, progress, from its name to its run directory."""
