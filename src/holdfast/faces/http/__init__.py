"""The control plane's HTTP API, made from `lifecycle.COMMANDS`: what the command line can do, a caller can.

`offers` says which commands are offered, and how; `strict` what a request may look like; `door` who gets in; `routes`
turns what is left into a call and its reply; `up` runs it beside the gateway.
"""
