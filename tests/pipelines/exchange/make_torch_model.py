"""Makes ``torch_mlp.onnx`` and ``torch_mlp.json`` beside this file; run by hand, where PyTorch is.

Made with PyTorch 2.15.0, onnx 1.23.2 and onnxscript 0.7.2: ``python make_torch_model.py``. A small network that reads a
number and the code of a category, and gives one logit; the samples hold what PyTorch itself predicts.
"""

import json
from pathlib import Path

import onnx
import torch
from torch import nn

HERE = Path(__file__).parent
PLANS = ("monthly", "yearly")


class Net(nn.Module):
    """An embedding and two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.plan = nn.Embedding(len(PLANS), 2)
        self.layers = nn.Sequential(nn.Linear(3, 12), nn.ReLU(), nn.Linear(12, 1))

    def forward(self, numbers: torch.Tensor, plan: torch.Tensor) -> torch.Tensor:
        """Return logits (n, 1)."""
        return self.layers(torch.cat([(numbers - 30) / 12, self.plan(plan)[:, 0]], dim=1))


def main() -> None:
    """Train for a moment, export, and write down predictions."""
    torch.manual_seed(7)
    numbers, plan = 30 + 12 * torch.randn(600, 1), torch.randint(0, 2, (600, 1))
    label = ((numbers + 12 * plan + 8 * torch.randn(600, 1)) < 32).float()
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(net(numbers, plan), label).backward()
        optimizer.step()
    net.eval()
    rows = torch.export.Dim("rows", min=1)
    torch.onnx.export(
        net, (numbers, plan), HERE / "torch_mlp.onnx", dynamo=True, external_data=False,
        input_names=["numbers", "plan"], output_names=["logit"], dynamic_shapes=({0: rows}, {0: rows}),
    )  # fmt: skip
    made = onnx.load(HERE / "torch_mlp.onnx")
    for part in (made, made.graph, *made.graph.node, *made.graph.value_info, *made.graph.input, *made.graph.output):
        del part.metadata_props[:]  # in whose source it was made
    onnx.save(made, HERE / "torch_mlp.onnx")
    samples = [
        {
            "tenure": tenure,
            "plan": PLANS[code],
            "prediction": "yes" if probability >= 0.5 else "no",
            "probability": probability,
        }
        for tenure, code, probability in zip(
            numbers[:24, 0].tolist(),
            plan[:24, 0].tolist(),
            torch.sigmoid(net(numbers[:24], plan[:24]))[:, 0].tolist(),
            strict=True,
        )
    ]
    (HERE / "torch_mlp.json").write_text(json.dumps(samples))


if __name__ == "__main__":
    main()
