"""Interlaced fields: weaving, filling, motion, combs, order and cadence."""
