"""Starts one BRAIN instance: `python -m services.brain --port P --instance I`."""

from services.brain.brain_service import main

main()
