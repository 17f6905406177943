"""semcache: a semantic cache for LLM apps that would rather miss than serve a wrong answer."""
