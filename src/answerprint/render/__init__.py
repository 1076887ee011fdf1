"""Work is cut up and run."""
