"""Starts one instance of NOTIFY: `python -m services.notify --port P --instance I`."""

from services.notify.notify_service import main

main()
