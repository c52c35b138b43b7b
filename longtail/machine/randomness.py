"""Random numbers as a function of (seed, purpose, epoch), so that every epoch can begin without a saved state."""

import hashlib

import torch


def derive_seed(seed: int, purpose: str, epoch: int = 0) -> int:
    """A 63-bit seed for one purpose in one epoch.

    A cryptographic hash keeps the streams of neighbouring seeds, purposes and epochs independent. The simpler
    `seed + epoch` would not, since epoch 1 of seed 0 would repeat epoch 0 of seed 1.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def set_seed(seed: int, device: torch.device) -> None:
    """Seed PyTorch's own generators: that of the CPU, and those of the other devices where one of them is `device`.

    For a run on the CPU, `torch.manual_seed` would take milliseconds: it notes a call for each kind of accelerator that
    may be used later, and where it was called from.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def generator(seed: int, purpose: str, epoch: int = 0, device: str | torch.device = "cpu") -> torch.Generator:
    """A generator on `device` for one purpose in one epoch."""
    return torch.Generator(device).manual_seed(derive_seed(seed, purpose, epoch))
