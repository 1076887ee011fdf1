"""Breaking footage down into shots, and what was decided for each."""
