"""Footage in and out: files and sequences, planes and pixels."""
