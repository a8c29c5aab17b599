"""How good the labels of a tile are expected to be, judged without labels."""
