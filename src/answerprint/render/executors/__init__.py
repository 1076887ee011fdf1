"""Where chunks run, one file each; `render/executor.py` says what they take and give."""
