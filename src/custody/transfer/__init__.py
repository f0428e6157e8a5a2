"""How it moves: one module a step, each importing only those before it on the route.

request -> selection -> draft -> approval -> signing -> verify -> settlement -> observe -> history -> evidence
"""
