"""How tdmm/corpus/data/synonyms.toml is made: see scripts/build_synonyms.py."""
