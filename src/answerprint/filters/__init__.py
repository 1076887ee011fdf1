"""Classical filters of one picture."""
