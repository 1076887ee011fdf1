"""Wires: found in a frame, tracked through a shot to a fraction of a pixel, with the opacity that they have there."""
