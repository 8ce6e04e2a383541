"""What a run leaves behind, and what it may be resumed with."""
