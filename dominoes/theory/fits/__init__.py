"""Curves are fitted: one curve, many seeds, the families of shapes, the pattern-learning model."""
