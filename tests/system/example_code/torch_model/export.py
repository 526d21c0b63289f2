"""Export `rainfall.onnx` with PyTorch, which the tests do not install.

With torch 2.13.0 and onnxscript 0.7.2, in this folder: `python export.py`.
"""

from __future__ import annotations

import onnx
import torch

model = torch.nn.Sequential(
    torch.nn.Linear(3, 64),
    torch.nn.ReLU(),
    torch.nn.Linear(64, 16),
    torch.nn.ReLU(),
    torch.nn.Linear(16, 1),
    torch.nn.Flatten(0),
)
torch.manual_seed(7)
for parameters in model.parameters():
    torch.nn.init.uniform_(parameters, -1, 1)
torch.onnx.export(
    model.eval(),
    (torch.zeros(2, 3),),
    "rainfall.onnx",
    input_names=["weather"],
    output_names=["millimetres"],
    dynamic_shapes=({0: torch.export.Dim("rows")},),
    external_data=True,
)
exported = onnx.load("rainfall.onnx", load_external_data=False)
for node in exported.graph.node:
    node.ClearField("metadata_props")  # the paths of the Python files that it was traced from
onnx.save(exported, "rainfall.onnx")
