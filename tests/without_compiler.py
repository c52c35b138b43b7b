"""Imported before a training, it stands in for PyTorch's compiler in a process that has not imported that.

Every optimiser imports the compiler, only to keep it away from itself. That takes longer than a small training.
"""

import sys
import types

import torch

if "torch._dynamo" not in sys.modules:
    compiler = types.ModuleType("torch._dynamo")
    compiler.disable = lambda function, *_, **__: function
    compiler.graph_break = lambda: None
    sys.modules["torch._dynamo"] = torch._dynamo = compiler
