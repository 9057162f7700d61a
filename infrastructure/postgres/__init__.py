"""PostgreSQL: the schema as numbered SQL files, and what applies them."""
