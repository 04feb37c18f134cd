"""Measures every stage of an answer beside its counted floor, and whole answers beside a plain baseline."""
