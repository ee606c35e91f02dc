"""The answers as pages: `reroll serve`.

Pages are documents and forms, made on the server from what the store holds; the few scripts only make them live.
app.py gathers the routes; home.py is what all pages work with; access.py says who may do what; view.py draws.
"""
