"""One file per wire; each turns a request into a sample and never retries behind our back."""
