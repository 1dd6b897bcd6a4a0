"""The models: encoders, transmitters, receivers, losses, the foundation model and the system that joins them."""
