"""A metadata service for one connection: reads one request from standard input, answers it, ends.  ``slirp`` runs one a connection.

imds_once.py FACTS.json      {"meta-data/instance-id": "i-…", "user-data": "…"}
"""

import json
import sys
from pathlib import Path

TOKEN = "dG9rZW4="


def main() -> None:
    facts = json.loads(Path(sys.argv[1]).read_text())
    request_line = sys.stdin.readline().split()
    headers = {}
    while (line := sys.stdin.readline().strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    status, body = answer(request_line[0], request_line[1], headers, facts)
    sys.stdout.write(
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    )
    sys.stdout.flush()


def answer(method: str, path: str, headers: dict[str, str], facts: dict[str, str]) -> tuple[str, str]:
    """IMDS of version 2 only: no token, no answer."""
    if (method, path) == ("PUT", "/latest/api/token"):
        return ("200 OK", TOKEN) if "x-aws-ec2-metadata-token-ttl-seconds" in headers else ("400 Bad Request", "")
    if headers.get("x-aws-ec2-metadata-token") != TOKEN:
        return "401 Unauthorized", ""
    wanted = path.split("/", 2)[2]
    body = facts.get(wanted) or listing(wanted.rstrip("/") + "/", facts)
    return ("404 Not Found", "no such fact") if not body else ("200 OK", body)


def listing(folder: str, facts: dict[str, str]) -> str:
    """The names right below ``folder``; one that has names below it ends with a slash."""
    below = [key[len(folder) :] for key in facts if key.startswith(folder)]
    return "\n".join(sorted({name.partition("/")[0] + ("/" if "/" in name else "") for name in below}))


if __name__ == "__main__":
    main()
