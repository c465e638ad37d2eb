"""Where models are loaded to."""

from __future__ import annotations

import pytest
import torch

from relayllm.engines.loading import best_device


@pytest.mark.parametrize(("there", "rank", "device"), [
    (False, None, "cpu"), (False, "3", "cpu"), (True, None, "cuda"), (True, "3", "cuda:3")])
def test_best_device_of_a_launched_process_is_its_own(monkeypatch, there, rank, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert best_device() == device
