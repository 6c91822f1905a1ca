"""The steps that bake `tdmm/assets/head.npz`; see docs/head.md. Run through scripts/build_head.py."""
