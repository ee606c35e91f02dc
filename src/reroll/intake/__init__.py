"""A reported or recorded call, in whatever format it comes, into what reroll works with."""
