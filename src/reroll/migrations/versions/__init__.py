"""One file per schema version, oldest first. Never edit one that was released."""
