"""The parts of the pytest plugin: fixtures, marker, guard, assertions."""
