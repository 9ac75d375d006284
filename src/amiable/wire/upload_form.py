"""An upload form (``multipart/form-data``), read as it comes: its fields, then the file, which may be of any size.

Fields stand before the file; what follows it is overlooked, as S3 does.  Field names are taken in any case.
"""

from collections.abc import Iterator
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from amiable.model.errors import S3Refusal

FIELDS_BYTES_MAX: Final = 64 << 10
"""All fields with their names; S3 says 20 KB, tokens of sessions and long policies take more here."""
FIELDS_MAX: Final = 100
FILE: Final = "file"


class UploadForm:
    """One form over ``chunks``: :meth:`read_fields`, then :meth:`file`, each once."""

    def __init__(self, chunks: Iterator[bytes], content_type: str) -> None:
        _, options = parse_options_header(content_type)
        try:
            self._parser = MultipartParser(
                options.get(b"boundary", b""),
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._header_name,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._open,
                    "on_part_data": self._data,
                    "on_part_end": self._close,
                },
            )
        except FormParserError:
            raise _malformed("its boundary is too long") from None
        if b"boundary" not in options:
            raise _malformed("it has no boundary")
        self._chunks = chunks
        self._fields: dict[str, str] = {}
        self._fields_bytes = 0
        self._name = ""
        self._value = bytearray()
        self._header = ["", ""]
        self._disposition = ""
        self._pieces: list[bytes] = []
        self._has_file = False
        self._has_ended = False
        self.file_name = ""

    def read_fields(self) -> dict[str, str]:
        """Every field before the file, by its name in lower case; the file's first bytes are read with them."""
        while not self._has_file and self._feed():
            pass
        if not self._has_file:
            raise S3Refusal(
                "InvalidArgument", 400, "POST requires exactly one file upload per request.", ArgumentName=FILE
            )
        return self._fields

    def file(self) -> Iterator[bytes]:
        """The file's bytes; raises IncompleteBody where the form ends before its boundary."""
        while True:
            yield from self._take()
            if self._has_ended:
                return
            if not self._feed():
                text = "The body of your POST request is not well-formed multipart/form-data: it ends within the file."
                raise S3Refusal("IncompleteBody", 400, text)

    def _take(self) -> list[bytes]:
        pieces, self._pieces = self._pieces, []
        return pieces

    def _feed(self) -> bool:
        """Parses one more chunk; False at the body's end."""
        chunk = next(self._chunks, b"")
        if not chunk:
            return False
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _malformed(str(error)) from None
        return True

    # ── what the parser calls ───────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self) -> None:
        self._name, self._disposition = "", ""
        self._value.clear()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end].decode("latin-1")

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end].decode("utf-8", "replace")

    def _header_end(self) -> None:
        if self._header[0].lower() == "content-disposition":
            self._disposition = self._header[1]
        self._header = ["", ""]

    def _open(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("latin-1").lower()
        if self._name == FILE and not self._has_file:
            self._has_file = True
            self.file_name = options.get(b"filename", b"").decode("latin-1").replace("\\", "/").rpartition("/")[2]

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._has_ended:
            return
        if self._has_file:
            self._pieces.append(data[start:end])
            return
        self._fields_bytes += end - start
        if self._fields_bytes > FIELDS_BYTES_MAX:
            text = "Your POST request fields preceding the upload file were too large."
            raise S3Refusal("MaxPostPreDataLengthExceeded", 400, text, MaxSizeAllowed=str(FIELDS_BYTES_MAX))
        self._value += data[start:end]

    def _close(self) -> None:
        if self._has_file:
            self._has_ended = True
            return
        self._fields_bytes += len(self._name)
        if not self._name or self._name in self._fields:
            raise _malformed("a field has no name" if not self._name else f"the field {self._name} is there twice")
        if len(self._fields) >= FIELDS_MAX:
            raise _malformed(f"it has more than {FIELDS_MAX} fields")
        try:
            self._fields[self._name] = self._value.decode()
        except UnicodeDecodeError:
            raise _malformed(f"the field {self._name} is not UTF-8") from None


def _malformed(why: str) -> S3Refusal:
    text = f"The body of your POST request is not well-formed multipart/form-data: {why}."
    return S3Refusal("MalformedPOSTRequest", 400, text)
