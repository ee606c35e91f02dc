"""An answer on a screen: terminal, progress line, SVG. Nothing here decides anything."""
