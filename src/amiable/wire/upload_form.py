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
    """One form: :meth:`feed` it until :attr:`has_file`; then :attr:`fields`, and :meth:`file` over what still comes."""

    def __init__(self, content_type: str) -> None:
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
        self.fields: dict[str, str] = {}
        """Every field before the file, by its name in lower case."""
        self._fields_bytes = 0
        self._name = ""
        self._value = bytearray()
        self._header = ["", ""]
        self._disposition = ""
        self._pieces: list[bytes] = []
        self.has_file = False
        """Whether the fields are all there and the file begins."""
        self._has_ended = False
        self.file_name = ""

    def feed(self, chunk: bytes) -> None:
        """Parses what came; raises S3Refusal where it is no form."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _malformed(str(error)) from None

    def check_file(self) -> None:
        """Refuses a form that ended without a file."""
        if not self.has_file:
            text = "POST requires exactly one file upload per request."
            raise S3Refusal("InvalidArgument", 400, text, ArgumentName=FILE)

    def file(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The file's bytes, of which ``chunks`` brings the rest; raises IncompleteBody where the form ends before its boundary."""
        while True:
            pieces, self._pieces = self._pieces, []
            yield from pieces
            if self._has_ended:
                return
            chunk = next(chunks, b"")
            if not chunk:
                text = "The body of your POST request is not well-formed multipart/form-data: it ends within the file."
                raise S3Refusal("IncompleteBody", 400, text)
            self.feed(chunk)

    # ── what the parser calls ───────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self) -> None:
        self._name, self._disposition = "", ""
        self._value.clear()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end].decode("latin-1")

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end].decode("latin-1")

    def _header_end(self) -> None:
        if self._header[0].lower() == "content-disposition":
            self._disposition = self._header[1]
        self._header = ["", ""]

    def _open(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("latin-1").lower()
        if self._name == FILE and not self.has_file:
            self.has_file = True
            self.file_name = _text("file name", options.get(b"filename", b"")).replace("\\", "/").rpartition("/")[2]

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._has_ended:
            return
        if self.has_file:
            self._pieces.append(data[start:end])
            return
        self._fields_bytes += end - start
        if self._fields_bytes > FIELDS_BYTES_MAX:
            text = "Your POST request fields preceding the upload file were too large."
            raise S3Refusal("MaxPostPreDataLengthExceeded", 400, text, MaxSizeAllowed=str(FIELDS_BYTES_MAX))
        self._value += data[start:end]

    def _close(self) -> None:
        if self.has_file:
            self._has_ended = True
            return
        self._fields_bytes += len(self._name)
        if not self._name or self._name in self.fields:
            raise _malformed("a field has no name" if not self._name else f"the field {self._name} is there twice")
        if len(self.fields) >= FIELDS_MAX:
            raise _malformed(f"it has more than {FIELDS_MAX} fields")
        self.fields[self._name] = _text(f"field {self._name}", bytes(self._value))


def _text(what: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _malformed(f"the {what} is not UTF-8") from None


def _malformed(why: str) -> S3Refusal:
    text = f"The body of your POST request is not well-formed multipart/form-data: {why}."
    return S3Refusal("MalformedPOSTRequest", 400, text)
