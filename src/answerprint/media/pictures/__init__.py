"""Pictures of a sequence, one file each, through OpenImageIO: their names, headers, reading and writing."""
