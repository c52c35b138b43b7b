"""Pickles that do something when they are read carelessly, and the ways in which they come as files."""

import functools
import os
import pickle

import numpy as np
import torch


class Payload:
    """Creates a file when it is unpickled carelessly."""

    def __init__(self, call, *arguments):
        self.reduced = (call, arguments)

    def __reduce__(self):
        return self.reduced


def payloads(canary):
    return {
        "open": Payload(open, str(canary), "w"),
        "os.system": Payload(os.system, f"touch '{canary}'"),
        "exec": Payload(exec, f"open({str(canary)!r}, 'w')"),
        "numpy": Payload(np.ndarray.tofile, np.zeros(1), str(canary)),
    }


PAYLOADS = sorted(payloads(None))

WRITERS = {
    "torch.save": torch.save,
    "legacy torch.save": functools.partial(torch.save, _use_new_zipfile_serialization=False),
    "pickle": lambda content, path: path.write_bytes(pickle.dumps(content)),
}
