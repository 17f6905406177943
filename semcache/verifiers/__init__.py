"""Verifiers: two prompts in, the logit of "one answer serves both" out.

`semcache.verifiers.base` says what one is; `semcache.verifiers.local` is the one we ship. Nothing
is imported here, so that using one costs only that one.
"""
