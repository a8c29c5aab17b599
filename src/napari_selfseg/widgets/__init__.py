"""The dock in napari. It shows and asks; it does no tensor work."""
