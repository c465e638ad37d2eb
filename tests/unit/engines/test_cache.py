"""The slots' memory."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from relayllm.engines.cache import SlotCache

CONFIG = SimpleNamespace(num_hidden_layers=3, num_key_value_heads=2, head_dim=4)


class ShortOfMemory(torch.overrides.TorchFunctionMode):
    """Lets so many tensors be made, then none."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.zeros:
            self.left -= 1
            if self.left < 0:
                raise torch.OutOfMemoryError("out of memory")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("left", range(6))
@pytest.mark.parametrize("before", [(0, 0), (2, 8)])
def test_reserve_that_ran_out_of_memory_can_be_tried_again(left, before):
    cache = SlotCache(CONFIG, torch.device("cpu"), torch.float32)
    if before != (0, 0):
        cache.reserve(*before)
        for layer, tensor in enumerate((*cache.keys, *cache.values)):
            tensor.fill_(layer + 1)
    with pytest.raises(torch.OutOfMemoryError), ShortOfMemory(left):
        cache.reserve(4, 100)
    cache.reserve(3, 50)
    assert (len(cache.keys), len(cache.values)) == (3, 3)
    for layer, tensor in enumerate((*cache.keys, *cache.values)):
        assert tensor.shape[0] >= 3
        assert tensor.shape[2] >= 50
        assert (tensor[:before[0], :, :before[1]] == layer + 1).all()
