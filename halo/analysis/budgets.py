"""What a proof may spend, in things that are counted: the same question has the same answer on any machine.

Whatever would take more is left undecided. The clock (`clock.SECONDS`) is for library calls that cannot be counted.
"""

from __future__ import annotations

MAX_BITS = 4_000
"""Of the numerator or denominator of one exact number: a chain of powers would have no end."""

MAX_TERMS, MAX_DEGREE, MAX_SYMBOLS = 400, 40, 14
"""Of an expression in normal form."""

MAX_EXPANDED = 50 * MAX_TERMS
"""Terms of what is only expanded, to see whether it is 0: that is so much cheaper than to factor it."""

MAX_SIDES = 8
"""Quantities of a polynomial whose sign is bounded on a box: each doubles the corners."""

MAX_POWER = 64
"""A whole exponent up to which a power is multiplied out, so that it stays a polynomial."""

MAX_SPLITS = 4
"""Kinks at which one question is split into pieces, one inside the other."""

MAX_BOXES = 80
"""Pieces of a box on which the sign of one polynomial is bounded."""

MAX_PRODUCTS = 300_000
"""Products of coefficients, in all the questions to one algebra: about half a second."""

MAX_RATIOS, MAX_ATTEMPTS = 200, 8
"""Pairs of gradients of two objectives whose ratios are bounded: by intervals, and by algebra."""

MAX_EXPONENTIALS, MAX_GRID = 5, 100
"""Of such a pair: different exponentials, and coefficients of a polynomial."""

MAX_CANDIDATES = 8
"""Substitutions that fit in floats of which a proof is tried."""

MAX_SCALES, MAX_FAR_TERMS = 8, 200
"""Of a scalar seen from far out: exponentials that are no powers of each other, and terms of a numerator or denominator."""
