"""GGUF models in this process through llama.cpp: for laptops, where its 4-bit weights are the fastest there are."""
