"""Starts one instance of EXECUTE: `python -m services.execute --port P --instance I`."""

from services.execute.execute_service import main

main()
