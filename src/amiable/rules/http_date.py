"""Dates as HTTP's headers write them.

Source: RFC 9110, 5.6.7; any date of RFC 5322 is read.
"""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def read_http_date(text: str) -> datetime | None:
    """The moment in UTC; ``None`` for text that is no date, or one out of the calendar.  Without a zone it is UTC's."""
    try:
        moment = parsedate_to_datetime(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
