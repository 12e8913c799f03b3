"""Load for a running server, bounded in time and number, with the session as the unit.

    scenario --units--> loop (closed, or open with Poisson arrivals) --requests--> server
                        record <--answers--

In an open loop every latency counts from the moment the event was due, whether or not it could
be sent then, so a server that stalls cannot hide it ("coordinated omission"). This package knows
the server by its wire alone.
"""
