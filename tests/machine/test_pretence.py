"""The pretended GPU sees every wait and every mixture of devices, and no more."""

import copy
import pickle

import numpy as np
import pytest
import torch
from pretended_cuda import WrongDevice, pretended_cuda

READ_BACKS = {
    "item": lambda x: x[0].item(),
    "tolist": lambda x: x.tolist(),
    "bool": lambda x: bool(x[0]),
    "int": lambda x: int(x[0]),
    "format": lambda x: f"{x[0]:.2f}",
    "repr": repr,
    "cpu": lambda x: x.cpu(),
    "to": lambda x: x.to("cpu"),
    "force": lambda x: x.numpy(force=True),
    "copy_": lambda x: torch.empty(4).copy_(x),
    "as_tensor": lambda x: torch.as_tensor(x, device="cpu"),
    "pickle": pickle.dumps,
    "nonzero": lambda x: x.nonzero(),
    "where": lambda x: torch.where(x > 1),
    "mask": lambda x: x[x > 1],
    "put": lambda x: x.__setitem__(x > 1, torch.ones(2, device=x.device)),
    "masked_select": lambda x: x.masked_select(x > 1),
    "unique": lambda x: x.unique(),
    "bincount": lambda x: x.long().bincount(),
    "equal": lambda x: torch.equal(x, x),
    "allclose": lambda x: torch.allclose(x, x),
    "repeat": lambda x: x.repeat_interleave(x.long()),
}
UPLOADS = {
    "to": lambda x: torch.zeros(4).to("cuda"),
    "cuda": lambda x: torch.zeros(4).cuda(),
    "pageable": lambda x: torch.zeros(4).to("cuda", non_blocking=True),
    "blocking": lambda x: torch.zeros(4).pin_memory().to("cuda"),
    "tensor": lambda x: torch.tensor([1.0], device="cuda"),
    "copy_": lambda x: x.copy_(torch.zeros(4)),
    "number": lambda x: x.__setitem__(0, torch.tensor(1.0)),
    "index": lambda x: x[torch.tensor([1])],
}
FREE = {
    "shape": lambda x: (x.shape, len(x), x.dtype, x.device, x.is_cuda, str(x.device)),
    "numbers": lambda x: (x * 2 + torch.tensor(1.0)).clamp(min=0.5).sum(),
    "index": lambda x: (x[1:], x[x.long().clamp(max=3)], x.index_select(0, x.argsort())),
    "upload": lambda x: x.copy_(torch.zeros(4).pin_memory(), non_blocking=True),
    "read": lambda x: torch.empty(4, pin_memory=True).copy_(x, non_blocking=True),
    "factories": lambda x: torch.rand_like(x) + torch.arange(4, device=x.device) + x.new_zeros(4),
    "in place": lambda x: x.__setitem__(slice(2), 0.0),
    "copies": lambda x: copy.deepcopy(x) + x.clone().to("cuda", torch.float64),
    "one_hot": lambda x: torch.nn.functional.one_hot(x.long(), 9),
    "the host's own": lambda x: torch.zeros(3).tolist(),
}
REFUSALS = {
    "two devices": (WrongDevice, lambda x: x + torch.zeros(4)),
    "the result": (WrongDevice, lambda x: torch.zeros(4).add_(x)),
    "a number as result": (WrongDevice, lambda x: torch.zeros(()).add_(x.sum())),
    "cat": (WrongDevice, lambda x: torch.cat([x, torch.zeros(1)])),
    "an index": (WrongDevice, lambda x: torch.zeros(9)[x.long()]),
    "a generator": (WrongDevice, lambda x: torch.rand(2, device="cuda", generator=torch.Generator())),
    "a generator in place": (WrongDevice, lambda x: x.uniform_(generator=torch.Generator())),
    "its generator": (WrongDevice, lambda x: torch.rand(2, generator=torch.Generator("cuda"))),
    "pinned": (WrongDevice, lambda x: x.pin_memory()),
    "numpy": (TypeError, lambda x: x.numpy()),
    "asarray": (TypeError, np.asarray),
}


@pytest.mark.parametrize(
    ("name", "use", "kinds"),
    [
        *((name, use, {"read-back"}) for name, use in READ_BACKS.items()),
        *((name, use, {"upload"}) for name, use in UPLOADS.items()),
        *((name, use, set()) for name, use in FREE.items()),
    ],
)
def test_every_way_to_wait_is_noted_and_no_other(name, use, kinds):
    with pretended_cuda() as watch:
        x = torch.arange(4.0).to("cuda")
        watch.events.clear()
        use(x)
        assert {event.kind for event in watch.events} == kinds


@pytest.mark.parametrize("name", REFUSALS)
def test_every_mixture_of_devices_is_refused(name):
    error, use = REFUSALS[name]
    with pretended_cuda():
        x = torch.arange(4.0, device="cuda")
        with pytest.raises(error, match=r"cuda.*, at tests/machine/test_pretence.py:"):
            use(x)


def test_nothing_of_the_pretence_is_left():
    generator = torch.Generator
    with pretended_cuda():
        x = torch.zeros(2, device="cuda")
    assert x.device.type == "cpu"
    assert torch.Generator is generator
    assert not torch.cuda.is_available() or torch.cuda.get_device_name() != "a pretended GPU"
