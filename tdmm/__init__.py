"""tdmm: 3D facial motion as a language. See `tdmm --help` and docs/python.md."""

__version__ = "0.1.0"
