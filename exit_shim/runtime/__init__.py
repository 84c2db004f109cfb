"""Hold what every room runs on: threads, forks, exits, locks, internal errors, logs and scrubbing."""
