"""The algorithms: images, networks, learning, prediction, labels. No window code."""
