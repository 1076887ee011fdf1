"""Frames to files: chunks of a job, and the output that they are joined to without encoding again."""
