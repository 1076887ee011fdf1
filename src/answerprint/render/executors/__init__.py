"""Where chunks run, one file each; `executor.py` says what they take and give."""
