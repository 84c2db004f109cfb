"""Which module asked: the stack walk, code files, and propagation into threads and tasks."""
