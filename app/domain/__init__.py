"""What a change means: pure functions from (change, what is loaded, now) to a plan."""
