"""Part of the way from a parent's weights to what was learned from a few corrections, so that less of the old is lost.

A model fine-tuned on few pictures forgets. Weights on the straight line between it and the model that it began as keep
most of what was learned and lose much less of what was known: Wortsman et al., "Robust fine-tuning of zero-shot models"
(CVPR 2022), equation 1, where the middle of the line is the value advised where nothing is known of the task.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def blended(
    parent: Mapping[str, Tensor], learned: Mapping[str, Tensor], *, share: float
) -> dict[str, Tensor]:
    """Return the weights that lie `share` of the way from the parent's to the learned ones.

    Args:
        parent: Tensors by name.
        learned: Tensors by name, as they were learned from the parent.
        share: 0..1; 1 gives the learned ones as they are.

    Returns:
        Tensors of the learned ones' types. Where the two are not of the same names and shapes no line joins them, and
        the learned ones are returned: GRPO of `core-seg-3b` stacks low-rank updates of its own upon its parent's.
    """
    shapes = {name: tensor.shape for name, tensor in learned.items()}
    if share == 1 or shapes != {name: tensor.shape for name, tensor in parent.items()}:
        return dict(learned)
    return {
        name: parent[name].float().lerp(tensor.float(), share).to(tensor.dtype)
        for name, tensor in learned.items()
    }
