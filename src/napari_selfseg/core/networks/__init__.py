"""The networks that turn a tile into confidence maps or features."""
