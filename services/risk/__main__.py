"""Starts one RISK instance: `python -m services.risk --port P --instance I`."""

from services.risk.risk_service import main

main()
