"""The confinement of `run --local`: what a bot reaches, what is refused, and what a dummy answers."""
