"""Networks, what they compute, and how they run; it knows none of the rooms above it."""
