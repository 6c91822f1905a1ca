"""How tdmm/assets/fit_prior.safetensors is made: see scripts/build_fit_prior.py."""
