"""Which version of Phoenix this is; a test keeps it equal to pyproject.toml. No rule may depend on it."""

VERSION = "0.1.0"
