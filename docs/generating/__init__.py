"""What of the docs the code writes: help, exit codes, settings, kinds of fixes, schemas, the map of the house."""
