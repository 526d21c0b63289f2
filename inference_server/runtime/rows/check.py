"""Checks the rows of one published model: a child process, as `runtime.verify`.

`python -m inference_server.runtime.rows.check MODEL --report FD --memory-bytes N --cpu-seconds N`
writes a RowProof to FD; `inference_server.runtime.row_check` starts it.
"""

from __future__ import annotations

import onnx
import orjson

from inference_server.runtime.child_limits import begin
from inference_server.runtime.rows.proof import prove


def main() -> None:
    """Report on the model that the command line names."""
    model, report = begin(__doc__)
    with report:
        proto = onnx.load(model, format="protobuf", load_external_data=False)
        report.write(orjson.dumps(prove(proto)))


if __name__ == "__main__":
    main()
