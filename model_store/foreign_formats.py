"""Files and folders of other formats, recognised by their first bytes or names: what to do instead.

Nothing is ever unpickled or executed. The formats are those of their documentation: pickle's
opcodes (Python's pickletools), ZIP archives of `torch.save`, `torch.jit.save` and Keras 3,
safetensors' header, HDF5's signature, the identifier of TensorFlow Lite, GGUF's magic number, and
the pointer files of Git LFS.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

from model_store.names import MODEL_FILE

_HEAD_BYTES = 512
_MAX_NAMED = 3

_SKLEARN = "`skl2onnx.to_onnx(model, X[:1])`"
_TORCH = "`torch.onnx.export(model, (example,), 'model.onnx', dynamo=True)`"
_KERAS = "`keras.models.load_model(FILE).export('model.onnx', format='onnx')`"
_BY_HEAD: Sequence[tuple[bytes, str]] = (
    (
        rb"\x80[\x02-\x05]",
        "a pickle of Python objects: convert the model where it was trained, one of scikit-learn "
        f"by {_SKLEARN}, one of PyTorch by {_TORCH}",
    ),
    (
        rb".{4}\0{4}\{",  # the length of a header of JSON, below 4 GiB
        "a safetensors file, which has weights and no graph: export the model with its weights, by "
        f"`optimum-cli export onnx --model FOLDER OUT` or {_TORCH}",
    ),
    (rb"\x89HDF\r\n\x1a\n", f"a Keras or other HDF5 file: convert it with {_KERAS}"),
    (rb".{4}TFL3", "a TensorFlow Lite file: convert it with `python -m tf2onnx.convert --tflite`"),
    (rb"GGUF", "a GGUF file of a language model, which ONNX Runtime does not load"),
    (
        rb"version https://git-lfs\.github\.com/spec/",
        "a pointer of Git LFS, not the file itself: fetch that with `git lfs pull`",
    ),
    (rb"\x1f\x8b", "a file that is compressed with gzip: unpack it first"),
    (rb"\s*<(!doctype )?html", "a web page: the download returned a page instead of the file"),
)
_BY_MEMBER: Sequence[tuple[str, str]] = (
    ("constants.pkl", f"a TorchScript file: export the model that it was made of, by {_TORCH}"),
    ("data.pkl", f"a file of torch.save: load it into its model, and export that by {_TORCH}"),
    ("model.weights.h5", f"a Keras file: convert it with {_KERAS}"),
)
_BY_FILE: Sequence[tuple[str, str]] = (
    (
        f"onnx/{MODEL_FILE}",
        "a repository of Hugging Face with an export: "
        "`slipstream models add {folder}/onnx --name {name}`",
    ),
    (
        "saved_model.pb",
        "a SavedModel of TensorFlow: convert it with "
        "`python -m tf2onnx.convert --saved-model {folder} --output model.onnx`",
    ),
    ("MLmodel", "a model of MLflow: add its .onnx file, or convert it where it was trained"),
    (
        "config.json",
        "a model of Hugging Face without an export: make one with "
        "`optimum-cli export onnx --model {folder} OUT`, and add OUT",
    ),
)


def describe_file(path: Path) -> str | None:
    """Return what a file is that is no ONNX model, and how to convert it; None if unknown.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(b"PK\x03\x04"):
        return _describe_archive(path)
    for pattern, description in _BY_HEAD:
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            return description
    return None


def describe_folder(folder: Path) -> str | None:
    """Return what a folder without model.onnx is, and what to add instead; None if unknown.

    Raises:
        OSError: it cannot be read.
    """
    if version := _newest_triton_version(folder):
        command = _command(folder / version, folder)
        return f"a model of a Triton repository: add a version of it, `{command}`"
    found = [(each, _newest_triton_version(each)) for each in folder.iterdir() if each.is_dir()]
    if commands := sorted(_command(each / version, each) for each, version in found if version):
        return f"a Triton repository: add each model by itself, {_listed(commands, '`')}"
    for file, description in _BY_FILE:
        if (folder / file).is_file():
            return description.format(folder=folder, name=folder.resolve().name)
    if files := _listed(sorted(str(each) for each in folder.glob("*.onnx")), "'"):
        return f"one whose file has another name: add the file itself, {files}"
    return None


def _describe_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.rpartition("/")[2] for name in archive.namelist()}
    except zipfile.BadZipFile:
        return "a ZIP archive that is damaged"
    for member, description in _BY_MEMBER:
        if member in names:
            return description
    return "a ZIP archive: unpack it first"


def _newest_triton_version(folder: Path) -> str:
    """Return the highest number of a version below a model's folder (`7/model.onnx`), or ""."""
    numbers = (each.parent.name for each in folder.glob(f"*/{MODEL_FILE}"))
    return max((number for number in numbers if number.isdecimal()), key=int, default="")


def _command(folder: Path, named: Path) -> str:
    return f"slipstream models add {folder} --name {named.resolve().name}"


def _listed(texts: Sequence[str], quote: str) -> str:
    shown = ", ".join(f"{quote}{text}{quote}" for text in texts[:_MAX_NAMED])
    return f"{shown}, and {len(texts) - _MAX_NAMED} more" if len(texts) > _MAX_NAMED else shown
