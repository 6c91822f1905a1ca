"""Motion tokens: a geometry-aware codec between motions and codes."""
