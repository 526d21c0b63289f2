"""Generate open_inference_pb2.py and .pyi from open_inference.proto (`make protos`; CI: `--check`).

The message classes are registered in their own descriptor pool. protoc's usual module would
claim the package `inference` in protobuf's default pool, and importing tritonclient (or KServe,
MLServer) in the same process would then fail with "duplicate symbol 'inference.…'".
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2
from grpc_tools import protoc

HERE = Path(__file__).parent
PROTO = HERE / "open_inference.proto"
MODULE = HERE / "open_inference_pb2.py"
STUB = HERE / "open_inference_pb2.pyi"

TEMPLATE = '''"""Generated from open_inference.proto by protos/generate.py. Do not edit."""

from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message_factory import GetMessageClass

POOL = DescriptorPool()
DESCRIPTOR = POOL.AddSerializedFile(
    {serialized}
)

{classes}
{enums}
'''


def render() -> tuple[str, str]:
    """Return the text of the module and of its type stub."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        status = protoc.main(
            [
                "protoc",
                f"--proto_path={HERE}",
                f"--descriptor_set_out={out / 'set.bin'}",
                f"--pyi_out={out}",
                str(PROTO),
            ]
        )
        if status != 0:
            sys.exit(status)
        files = descriptor_pb2.FileDescriptorSet.FromString((out / "set.bin").read_bytes())
        stub = (out / STUB.name).read_text()
    (file,) = files.file
    serialized = file.SerializeToString()
    chunks = [serialized[i : i + 60] for i in range(0, len(serialized), 60)]
    classes = "\n".join(
        f'{message.name} = GetMessageClass(DESCRIPTOR.message_types_by_name["{message.name}"])'
        for message in file.message_type
    )
    module = TEMPLATE.format(
        serialized="\n    ".join(map(repr, chunks)),
        classes=classes,
        enums="\n".join(_assignments(file.enum_type)),
    )
    # protoc writes Mapping without parameters, which mypy rejects in strict mode
    typed = stub.replace(", _Mapping]", ", _Mapping[str, _Any]]")
    typed = typed.replace("import ClassVar", "import Any as _Any, ClassVar")
    pool = "from google.protobuf import descriptor_pool as _descriptor_pool\n"
    return module, pool + typed + "POOL: _descriptor_pool.DescriptorPool\n"


def _assignments(enums: Iterable[descriptor_pb2.EnumDescriptorProto]) -> Iterator[str]:
    """Yield the module's assignments for enums and their values."""
    for enum in enums:
        yield f'{enum.name} = EnumTypeWrapper(DESCRIPTOR.enum_types_by_name["{enum.name}"])'
        for value in enum.value:
            yield f"{value.name} = {value.number}"


def main() -> None:
    """Write the two files, or with --check verify that they are up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit 1 if a file is stale")
    check = parser.parse_args().check
    for path, text in zip((MODULE, STUB), render(), strict=True):
        if check and path.read_text() != text:
            sys.exit(f"{path.name} is stale: run `make protos` and commit the result")
        if not check:
            path.write_text(text)


if __name__ == "__main__":
    main()
