"""Interlaced fields: weaving, combing, cadence."""
