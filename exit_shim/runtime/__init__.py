"""Threads, forks, exits, locks, internal errors and scrubbing: what every room runs on."""
