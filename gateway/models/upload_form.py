"""Where the bytes of an upload go: into one file, or through a form's parser into several."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.errors import GatewayError
from model_store.errors import StoreError
from model_store.names import MODEL_FILE, check_location
from protos.errors import ErrorCode

_MAX_PARTS = 1000
_MAX_FIELD_BYTES = {"columns": 1 << 16, "classes": 1 << 16}
"""Of fields whose names are not here: _MAX_OTHER_BYTES."""
_MAX_OTHER_BYTES = 1024


class Sink(Protocol):
    """Takes an upload piece by piece; not thread-safe, but one thread may follow another."""

    fields: dict[str, str]
    """The text fields of a form, when it is finished."""

    def write(self, content: bytes) -> None:
        """Write the next piece."""

    def finish(self) -> None:
        """Check that the upload is complete."""

    def close(self) -> None:
        """Close the files."""


class RawSink:
    """Writes the body to `model.onnx` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.fields: dict[str, str] = {}
        self._file = (folder / MODEL_FILE).open("xb")

    def write(self, content: bytes) -> None:
        """Append to the file."""
        self._file.write(content)

    def finish(self) -> None:
        """Do nothing: any body is complete."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class FormSink:
    """Parses a form, and writes its files to a folder as they arrive.

    The field `file` becomes `model.onnx`, each file of the field `data` keeps its name, and other
    files are ignored. Nothing of a file is kept in memory.
    """

    def __init__(self, folder: Path, content_type: str) -> None:
        """Take a form with this Content-Type; raise GatewayError (INVALID_REQUEST) if it is none.

        Args:
            folder: exists and is empty.
            content_type: names the boundary.
        """
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if not boundary:
            raise _invalid("Content-Type: expected the boundary of the form, got none")
        self.fields: dict[str, str] = {}
        self._folder = folder
        self._has_model = False
        self._ended = False
        self._parts = 0
        self._header_name = b""
        self._header_value = b""
        self._disposition = b""
        self._field: str | None = None  # of the current part, if that is a text field
        self._value = bytearray()
        self._file: IO[bytes] | None = None
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise _malformed(error) from error

    def write(self, content: bytes) -> None:
        """Parse the next piece.

        Raises:
            GatewayError: INVALID_REQUEST for a malformed form, INVALID_MODEL for external data that
                would lie outside the folder.
        """
        try:
            self._parser.write(content)
        except FormParserError as error:
            raise _malformed(error) from error

    def finish(self) -> None:
        """Raise GatewayError (INVALID_REQUEST) if the form is incomplete or has no model."""
        if not self._ended:
            raise _invalid("the form is malformed: it ends within a part")
        if not self._has_model:
            raise _invalid("file: expected the .onnx file in the form's field `file`, got none")

    def close(self) -> None:
        """Close the file that is being written, if any."""
        if self._file is not None:
            self._file.close()
            self._file = None

    # the parser's events

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise _invalid(f"expected at most {_MAX_PARTS} fields and files in the form")
        self._disposition = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" not in options:
            self._field = name
            self._value.clear()
        elif name == "file":
            self._file = self._open(MODEL_FILE)
            self._has_model = True
        elif name == "data":
            self._file = self._open(_location(options[b"filename"]))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(memoryview(data)[start:end])
        elif self._field is not None:
            self._value += data[start:end]
            allowed = _MAX_FIELD_BYTES.get(self._field, _MAX_OTHER_BYTES)
            if len(self._value) > allowed:
                raise _invalid(f"{self._field}: expected at most {allowed} bytes")

    def _on_part_end(self) -> None:
        self.close()
        if self._field is not None:
            self.fields[self._field] = self._value.decode("utf-8", "replace")
            self._field = None

    def _on_end(self) -> None:
        self._ended = True

    def _open(self, location: str) -> IO[bytes]:
        path = self._folder / location
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("xb")
        except (FileExistsError, NotADirectoryError):
            raise _invalid(f"{location}: expected each file once in the form") from None


def _location(filename: bytes) -> str:
    try:
        return str(check_location(filename.decode("utf-8", "replace")))
    except StoreError as error:
        raise GatewayError(error.code, f"data: {error.message}") from error


def _malformed(error: FormParserError) -> GatewayError:
    return _invalid(f"the form is malformed: {error}")


def _invalid(message: str) -> GatewayError:
    return GatewayError(ErrorCode.INVALID_REQUEST, message)
