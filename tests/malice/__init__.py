"""Files that mean harm, through the doors that a user opens: nothing runs, nothing grows.

One file a kind of malice. ``bounded`` is the cell in which each is tried: a forked process
with limits on memory and time, in which an audit hook writes down whatever is run, and
whatever is written outside its place.
"""
