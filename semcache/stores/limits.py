"""Numbers that every store shares, so that one behaves like another."""

from __future__ import annotations

# Length of the random secret of a new store; what keyed BLAKE2b and HMAC-SHA-256 take at best.
SECRET_BYTES = 32

# Ways of asking that lead to one entry without a search; beyond it the oldest one is forgotten.
ALIASES_PER_ENTRY = 256

# Expired entries that one put removes on the side: more than one put can add, so they never pile
# up, and few enough not to be felt.
EXPIRED_PER_PUT = 4

# Two who want a lease read their clocks one after the other and may reach the store the other way
# round: the second then meets a lease that begins "in its future". By less than this, that is no
# clock that has stepped back.
LEASE_SKEW_S = 1.0

# Candidates asked of the index beyond ``k``: int8 errs by about 0.01, and some may have expired.
OVER_FETCH = 8
