"""Footage in and out: files and sequences of pictures as frames, on exact time and with exact code values.

In: `reader` (clips) over `file` and `sequence`, which stand on `container` (opening, refusals), `index` (where frames
are and when), `probe` (what a file says of itself), `decoder`, `unpack` (FFmpeg's frames to planes), `tags` (color
policy), `fieldorder` and `ahead` (the background thread). Between: `layout`, `siting` and `planes` turn code values
into R'G'B' and back. Out: `presets` choose a delivery, `writer/` encodes chunks and joins them, `tracks` brings sound,
subtitles, chapters and timecode along. `pictures/` reads and writes single pictures.
"""
