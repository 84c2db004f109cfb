"""What somebody has to be told at once: troubles, their episodes, the digest, and the watch that looks."""
