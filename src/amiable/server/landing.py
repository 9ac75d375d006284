"""The landing page: what answers here, for whoever opens the endpoint in a browser.  It tells nothing that needs a signature."""

import html
from collections.abc import Sequence
from importlib import resources
from string import Template
from typing import Final

from starlette.responses import Response

HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
HOST_CHARACTERS_MAX: Final = 255


def landing_page(regions: Sequence[str], host: str) -> Response:
    """The page, for a client that came by the name ``host``."""
    endpoint = f"http://{host[:HOST_CHARACTERS_MAX]}"
    page = _PAGE.substitute(endpoint=html.escape(endpoint), regions=html.escape(", ".join(regions)))
    return Response(page.encode(), headers=HEADERS)


_PAGE: Final = Template(resources.files("amiable.server").joinpath("landing.html").read_text(encoding="utf-8"))
