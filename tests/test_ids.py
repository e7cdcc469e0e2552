"""What an id is derived to never changes: what was made before is found again by it."""

import base64
import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from app.domain.plan import derive


@given(st.binary(min_size=1, max_size=64), st.lists(st.text(), min_size=1, max_size=4))
def test_an_id_is_base_32_of_the_keyed_hash(key, parts):
    """26 letters of 128 bits, as RFC 4648 writes them, in lower case and without padding."""
    digest = hmac.digest(key, "\x1f".join(parts).encode(), hashlib.sha256)

    assert derive(key, *parts) == base64.b32encode(digest[:16]).decode().rstrip("=").lower()
