"""What is compared: the fit with what was learnt from rendered people, and the plain landmark fit."""

from __future__ import annotations

from tdmm.fit import FitOptions
from tdmm.fit.prior import has_prior

PLAIN, LEARNT = "plain landmark fit", "fit"


def systems() -> dict[str, FitOptions | str]:
    """The options of each system, by its name; or, in their place, why it cannot run here."""
    learnt = FitOptions() if has_prior() else "tdmm/assets/fit_prior.safetensors is not there"
    return {PLAIN: FitOptions(prior=False), LEARNT: learnt}
