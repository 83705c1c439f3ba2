"""Everything that Pharos keeps in one file, and back.

A backup is a tar, compressed with zstd:

    pharos.sqlite3, logs.sqlite3    the databases, as SQLite's online backup copied them; or
    pharos.dump                     the database, as pg_dump wrote it (custom format)
    keys.json                       the secret key, and older ones: stored secrets are encrypted with it
    manifest.json                   what all that is, with rows, sizes and SHA-256; last, so half a backup has none
"""
