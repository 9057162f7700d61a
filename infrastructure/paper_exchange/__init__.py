"""A Binance USD-M futures-compatible exchange that trades paper money, spoken to over REST and WebSocket.

Pure rooms (no I/O, clock passed in): values, symbols, errors, matching, margin, account, algo, validation,
engine, market, prices, payloads, commands. Rooms with I/O: journal, tape, venue, rest_api, admin_api,
streams, __main__.
"""
