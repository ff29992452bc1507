"""Tests of Fisher information against brute force, curvlinops and its own invariances."""
