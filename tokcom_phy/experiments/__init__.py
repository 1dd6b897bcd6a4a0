"""What is asked: an experiment's settings, what follows from them, and its jobs."""
