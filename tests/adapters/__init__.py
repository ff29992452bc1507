"""Models of every family: loading, heads, layers, preprocessing, saving."""
