"""What the record shows: the lives of exits, who ended whose, and how long positions were covered."""
