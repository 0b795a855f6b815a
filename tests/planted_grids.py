"""Grids of numbers whose variance components are known."""

import numpy as np

# As on Babies: shots deviate by 24.6 and another adaptation by about 5.
PLANTED = {"shots": 600.0, "seeds": 10.0, "states": 17.0, "draws": 4.0, "rest": 2.0}


WITH_DRAWS = "shots x draws"  # how each set of shots moves a draw in its own way


def truth(planted):
    """The components of a planted grid; what the shots do to a draw is no part of the model."""
    return {
        "shots": planted["shots"],
        "adapting": planted["seeds"] + planted["states"],
        "drawing": planted["draws"],
        "residual": planted["rest"],
    }


def grids(count, planted=PLANTED, shape=(2, 3, 3, 2), seed=0, parts=tuple(PLANTED)):
    """[count, targets, subsets, seeds, draws] with planted variances; levels of targets differ.

    With one target, the effects of some `parts` can be added to a grid of several as shared ones.
    """
    g, (t, s, a, d) = np.random.default_rng(seed), shape
    places = {
        **{"shots": (s, 1, 1), "seeds": (1, a, 1), "states": (s, a, 1)},
        **{"draws": (1, 1, d), "rest": (s, a, d), WITH_DRAWS: (s, 1, d)},
    }
    effects = [
        np.sqrt(planted[name]) * g.standard_normal((count, t, *place))
        for name, place in places.items()
        if name in parts
    ]
    return sum(effects) + 100 * g.standard_normal((count, t, 1, 1, 1))
