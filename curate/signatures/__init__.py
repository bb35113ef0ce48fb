"""What makes two pictures comparable: perceptual hashes, colour signatures, strokes and alignment.

In: RGB and line-art arrays. Out: 64-bit hashes, small signatures, and distances between two pictures.
`trimming` first cuts white borders off; `phash`, `color_grid` and `strokes` make signatures; `alignment` and
`similarity` compare two pictures. Builds on `images` and `tags`. Pure functions.
"""
