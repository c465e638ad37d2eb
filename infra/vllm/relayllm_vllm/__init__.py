"""The grammar of `<call>n</call>` inside vLLM: a student's server never writes a command that is not well formed."""
