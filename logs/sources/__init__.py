"""The ways in: one file each, one line here."""
