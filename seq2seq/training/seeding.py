"""Random numbers of an update: a function of where it stands, so that nobody keeps their state."""

import numpy as np
import torch


def seed_update(seed: int, update: int, rank: int) -> None:
    """Seed the generators of all devices for an update.

    What follows, such as dropout, depends on these three numbers alone and neither on earlier
    updates nor on what was validated, saved or resumed in between.

    Args:
        seed: of the recipe.
        update: number of the update, from 1.
        rank: of this process among those that train together.
    """
    # Neighbouring seeds would start the generator in states that are alike; this hash has none.
    (mixed,) = np.random.SeedSequence((seed, update, rank)).generate_state(1, np.uint64)
    torch.manual_seed(int(mixed))
