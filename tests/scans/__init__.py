"""Tests of what many scans need: names, results that are kept, outputs, formats."""
