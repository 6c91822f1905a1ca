"""`python -m tdmm` is the program `tdmm`."""

from tdmm.cli import main

main()
