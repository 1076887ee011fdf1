"""Running trained networks: their weights on disk, and any network on frames of any size, alone or in time."""
