"""How a party calls the exchange: again and again for a while, since networks and servers fail."""

from __future__ import annotations

import ssl
import time
from typing import Any, Final

import httpx2

# All is plain HTTP on this machine; to read the authorities' certificates takes each call 17 ms.
LOOPBACK: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_PATIENCE_SECONDS: Final = 40.0
_BETWEEN_SECONDS: Final = 0.1


def send(method: str, url: str, resource: dict[str, Any] | None = None) -> dict[str, Any]:
    """
    Status and body of the answer; the same message again where there is none, or a 5xx.

    returns     {"status": int, "body": resource}
    """
    headers = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            answer = httpx2.request(
                method, url, json=resource, headers=headers, timeout=10, verify=LOOPBACK
            )
            if answer.status_code < 500:
                return {"status": answer.status_code, "body": answer.json()}
            problem = f"{url} answers {answer.status_code}"
        except httpx2.HTTPError as error:
            problem = f"{url} does not answer: {type(error).__name__}"
        if time.monotonic() > until:
            raise TimeoutError(problem)
        time.sleep(_BETWEEN_SECONDS)
