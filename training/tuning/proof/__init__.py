"""Measures the loop from outside: readers made up from true masks correct a running server, which then learns."""
