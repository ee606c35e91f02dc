"""Figures: values in, one picture out, the same for a page, a file and a chat."""
