"""Injected instructions in a text: what tries to tell a model what to do instead of what it was made for.

`readings` shows a text as a model would read it in spite of disguise, `rules` says which phrases count how much, and
`finding` adds them up. Written from what such texts must do (override, impersonate, forge a frame, ask for what is
hidden, call tools), in English; no learned model, so that each finding names the phrase it rests on.
"""
