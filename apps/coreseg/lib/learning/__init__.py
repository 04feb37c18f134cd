"""Learning from corrections: what is learned from, the runs that learn, and what came of them."""
