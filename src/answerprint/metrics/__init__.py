"""Measuring pictures, and reports of what was done."""
