"""How each network is trained: one file per network; the folder is the list."""
