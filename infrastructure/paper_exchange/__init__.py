"""A Binance USD-M futures-compatible exchange that trades paper money, spoken to over REST and WebSocket.

Pure rooms (no I/O, clock passed in): values, symbols, errors, matching, margin, account, algo, validation,
engine, market, prices, payloads, commands, fault_kinds, fault_orders, faults, ledger_view. Rooms with I/O:
journal, tape, venue, rest_api, streams, disturbed_requests, disturbed_endpoints, disturbed_streams, the
admin_* doors, server, __main__.
"""
