"""An ONNX file is looked at before it is served: what leads outside, is not of the standard or dices is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.errors import DataError, SpecError
from pipelines.exchange.contract import Contract
from pipelines.exchange.onnx_graph import needed, read_graph
from pipelines.exchange.onnx_member import onnx_member, settle_batches
from pipelines.inference.members.onnx import OnnxMember

onnx = pytest.importorskip("onnx", reason="needs the extra exchange")
pytest.importorskip("onnxruntime", reason="needs the extra exchange")


def graph(
    operator: str = "MatMul", domain: str = "", rows: Any = "n", width: Any = 2, weights: Any = None, **attributes: Any
) -> Any:
    """Return a model ``y = X operator w``."""
    helper, single = onnx.helper, onnx.TensorProto.FLOAT
    w = weights or onnx.numpy_helper.from_array(np.ones((2, 1), np.float32), "w")
    node = helper.make_node(operator, ["X", "w"], ["y"], domain=domain, **attributes)
    made = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("X", single, [rows, width])],
        [helper.make_tensor_value_info("y", single, [rows, 1])],
        [w],
    )
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(made, opset_imports=opsets, ir_version=9)


def written(folder: Path, model: Any) -> Path:
    (folder / "m.onnx").write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return folder / "m.onnx"


def outside() -> Any:
    w = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[2, 1])
    w.data_location = onnx.TensorProto.EXTERNAL
    w.external_data.add(key="location", value="../../secrets/signing_key.pem")
    return graph(weights=w)


@pytest.mark.fault("A8")
@pytest.mark.parametrize(
    ("model", "said"),
    [
        (outside, "1 tensors lie in other files (w)"),
        (lambda: graph("Shell", "com.example"), "Shell of com.example is not of the standard"),
        (lambda: graph("RandomNormalLike"), "predicts otherwise each time"),
        (lambda: b"\x00\x01nonsense", "no ONNX model"),
        (lambda: b"", "no operators"),
    ],
)
def test_what_cannot_be_served_is_refused(tmp_path: Path, model: Any, said: str) -> None:
    with pytest.raises(DataError) as refused:
        read_graph(written(tmp_path, model()))
    assert said in str(refused.value)


def test_the_size_is_limited(tmp_path: Path) -> None:
    path = written(tmp_path, graph())
    assert read_graph(path) == path.read_bytes()
    with pytest.raises(DataError, match="too large"):
        read_graph(path, most=10)


def test_a_package_that_is_not_there_is_named() -> None:
    with pytest.raises(SpecError, match=r"uv pip install 'aimass\[exchange\]'"):
        needed("no_such_package_here")


def regression(*names: str, **fields: Any) -> Contract:
    return Contract(task="regression", columns=tuple({"name": name} for name in names), **fields)


@pytest.mark.parametrize(
    ("model", "contract", "said"),
    [
        (lambda: graph(rows=1), regression("a", "b"), "1 rows at a time"),
        (lambda: graph(), regression("a", "b", "c"), "takes 2 columns, 3 are given"),
        (lambda: graph(), regression("a", "b", inputs=[{"name": "Z", "columns": ["a", "b"]}]), "no input 'Z'"),
        (lambda: graph(), regression("a", "b", output={"name": "z"}), "no output"),
    ],
)
def test_a_schema_that_does_not_fit_is_said(tmp_path: Path, model: Any, contract: Contract, said: str) -> None:
    with pytest.raises(SpecError) as refused:
        onnx_member(read_graph(written(tmp_path, model())), contract)
    assert said in str(refused.value)


def test_a_member_predicts_a_row_alone_as_among_others(tmp_path: Path) -> None:
    member = onnx_member(read_graph(written(tmp_path, graph())), regression("a", "b"))
    rows = np.random.default_rng(0).normal(size=(50, 2))
    settle_batches(member, rows)
    alone = np.concatenate([member.predict(rows[index : index + 1]) for index in range(50)])
    np.testing.assert_array_equal(member.predict(rows), alone)
    np.testing.assert_allclose(alone, rows.sum(axis=1), atol=1e-6)
    assert member.predict(rows[:0]).shape == (0,)
    with pytest.raises(DataError, match="no finite prediction"):
        member.predict(np.array([[np.nan, 1.0]]))


def maps(*labels: int) -> OnnxMember:
    """A binary member whose output is a list of maps, as ZipMap gives it, asked for some labels."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.linear_model import LogisticRegression

    X = np.random.default_rng(0).normal(size=(40, 2))
    fitted = to_onnx(LogisticRegression().fit(X, X[:, 0] > 0), initial_types=[("x", FloatTensorType([None, 2]))])
    columns = ({"name": "a", "fill": 0}, {"name": "b", "fill": 0})
    return onnx_member(fitted.SerializeToString(), Contract(task="binary", classes=labels, columns=columns))


def test_labels_that_the_model_does_not_know_are_told() -> None:
    assert maps(0, 1).predict(np.zeros((5, 2))).shape == (5, 2)
    with pytest.raises(DataError, match="not what the schema says") as refused:
        maps(1, 2).predict(np.zeros((5, 2)))
    assert "by the labels 1, 2" in str(refused.value)


def test_an_output_of_another_shape_is_told(tmp_path: Path) -> None:
    """A graph may leave its shape open; what comes out is looked at each time."""
    from onnx import TensorProto, helper

    rows = np.ones((6, 2))
    for operator, shape in (("Identity", ["n", "k"]), ("ReduceMean", ["m", 1])):
        node = helper.make_node("Concat", ["x", "x", "x"], ["w"], axis=1)
        last = helper.make_node(operator, ["w"], ["y"])
        ends = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, of) for name, of in (("x", ["n", 2]), ("y", shape))
        ]
        made = helper.make_graph([node, last], "g", ends[:1], ends[1:])
        model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        entry = {
            "inputs": [{"name": "x", "type": "tensor(float)", "columns": [0, 1]}],
            "output": "y", "scores": "values", "classes": 0, "positive": 1,
        }  # fmt: skip
        with pytest.raises(DataError, match="not what the schema says"):
            OnnxMember(model.SerializeToString(), entry).predict(rows)


@pytest.mark.parametrize(("kind", "most"), [("INT32", 2**31 - 1), ("INT64", 2**63 - 1024), ("FLOAT16", 65504)])
def test_a_number_too_large_for_the_input_is_its_largest(kind: str, most: float) -> None:
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info("x", getattr(TensorProto, kind), ["n", 1]),
            helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["n", 1])]  # fmt: skip
    cast = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.DOUBLE)
    graph = helper.make_graph([cast], "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    contract = Contract(task="regression", columns=({"name": "a", "fill": 0},))
    found = onnx_member(model.SerializeToString(), contract).predict(np.array([[1e30], [-1e30], [7.0]]))
    assert found[0] == most
    assert found[1] <= -most
    assert found[2] == 7.0
