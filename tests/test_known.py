"""What was worked out for a short text is not worked out again, and never fills the memory."""

import pytest

from app.known import Known


def test_it_is_made_once():
    """Who asks again is told what was made, also where that was nothing."""
    asked = []
    known = Known(asked.append)

    assert (known["a"], known["a"]) == (None, None)
    assert asked == ["a"]


def test_only_so_many_are_kept():
    """The next thousands take the place of those before."""
    known = Known(len)

    for number in range(20_000):
        assert known[str(number)] == len(str(number))

    assert len(known) <= 4096


def test_what_is_no_text_is_not_kept():
    """A number is no key, whatever it is equal to."""
    known = Known(bool)

    with pytest.raises(TypeError):
        known[1]
    assert not known
