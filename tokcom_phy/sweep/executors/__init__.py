"""Where jobs are executed: local processes, a Ray cluster, or processes that train together."""
