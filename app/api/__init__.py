"""The HTTP door: routes, who calls, what comes in and how it is answered."""
