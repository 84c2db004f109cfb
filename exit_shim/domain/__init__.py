"""Orders, events, verdicts, attributions and modes: pure values that every room may import."""
