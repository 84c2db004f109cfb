"""Define the pure values that every room may import: orders, events, verdicts, attributions, modes."""
