"""From any image file or array to a tile with microns per pixel."""
