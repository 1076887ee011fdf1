"""The decision list: what will be done to each shot of a clip. `model` holds it, `file` reads and writes it."""
