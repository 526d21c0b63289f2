"""`slipstream flows run` calls the models that the installation serves."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from tests.slipstream.cli import invoke
from tests.system.flow_documents import linear_flow, node
from tests.system.installation import Installation, chain


def test_a_draft_calls_the_models_that_are_served(
    installation: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "flow.json"
    file.write_text(json.dumps(chain("iris")))
    data = json.dumps({"x": [[5.1, 3.5, 1.4, 0.2]]})
    began = datetime.now(UTC)
    answer = installation.command("flows", "run", str(file), "--input", data)
    assert answer["status"] == "completed"
    assert answer["node_outputs"]["model"]["output"]["label"] == [0]
    # Runs of earlier calls may be written only now.
    listed = installation.http.get("/node/flow-runs/").json()["items"]
    assert not [run for run in listed if datetime.fromisoformat(run["created_at"]) >= began]


def test_a_model_that_is_not_served_is_named_and_so_is_a_wrong_tensor(
    installation: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "flow.json"
    file.write_text(json.dumps(chain("iris")))
    state = ("--json", "--state", str(installation.up.state))
    words = ["flows", "run", str(file), "--input", '{"x": [["a"]]}', *state]
    refused = invoke(words)
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["error"]["code"] == "invalid_tensor"
    (tmp_path / "other.onnx").write_bytes(
        (installation.up.state / "models/iris/1/model.onnx").read_bytes()
    )
    installation.add_model("unserved", tmp_path / "other.onnx")
    flow = linear_flow(
        "Unserved", node("input", "api_input"), node("model", "inference", model="unserved")
    )
    file.write_text(json.dumps(flow))
    data = json.dumps({"x": [[5.1, 3.5, 1.4, 0.2]]})
    words = ["flows", "run", str(file), "--input", data, *state]
    failed = invoke(words)
    assert failed.exit_code == 1
    error = json.loads(failed.stdout)["error"]
    assert (error["code"], error["node_id"]) == ("no_active_inference", "model")
    assert "slipstream models serve unserved" in error["message"]
