"""Where things move: flow, camera, layers, lines, clean plates."""
