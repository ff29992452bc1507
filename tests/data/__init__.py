"""Tests of clean images: where they come from, which tune and judge, and their classes."""
