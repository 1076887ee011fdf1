"""Noise: measured, merged along motion, filtered in blocks, impulses, synthesized."""
