"""Random attacks on halo, by class: each module holds one, and says what did not hold afterwards, or nothing."""
