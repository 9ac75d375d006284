"""The administrator's password as a Windows guest prints it on its console, encrypted with the launch's RSA key.

    <Password>
    base64, one line or more
    </Password>

Source: the system log that EC2Config and EC2Launch write (they also print ``<Username>``); what GetPasswordData hands on is the
base64 text without its line breaks.
"""

import base64
import re
from typing import Final

BEGIN: Final = b"<Password>"
END: Final = b"</Password>"
TEXT_BYTES_MAX: Final = 2048
"""Between the two: RSA with 8192 bits gives 1368 characters."""
RSA_BYTES: Final = (128, 256, 384, 512, 1024)
"""How long what an RSA key encrypted is: as long as the key."""

_BLANKS: Final = re.compile(rb"\s+")


def last_password(text: bytes) -> str | None:
    """The last complete block's base64 in ``text``; None without one that an RSA key can have made.  Linear in ``text``."""
    end = text.rfind(END)
    while end >= 0:
        begin = text.rfind(BEGIN, max(0, end - TEXT_BYTES_MAX - len(BEGIN)), end)
        if begin >= 0:
            found = _BLANKS.sub(b"", text[begin + len(BEGIN) : end])
            try:
                if len(base64.b64decode(found, validate=True)) in RSA_BYTES:
                    return found.decode()
            except ValueError:
                pass
        end = text.rfind(END, 0, end)
    return None
