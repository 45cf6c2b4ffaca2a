"""The network, its tasks and its exploration."""
