"""Motion: flow, camera, layers, lines, clean plates."""
