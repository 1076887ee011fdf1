"""Compiled loops: arrays in, arrays filled; no policy, no files, no tensors."""
