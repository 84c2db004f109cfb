"""What the pytest plugin brings in: fixtures, marker, guard, assertions."""
