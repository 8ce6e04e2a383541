"""All checks, relations and rules asked of one objective under a clock, and what is kept of the answers."""
