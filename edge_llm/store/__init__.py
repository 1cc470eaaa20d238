"""The one door to SQLite: connection, write-ahead log, migrations."""
