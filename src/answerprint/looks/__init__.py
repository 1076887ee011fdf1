"""Looks learned from ungraded and graded footage."""
