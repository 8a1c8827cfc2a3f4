"""The runtime over HTTP: OpenAI's image endpoint, events while an image is made, and what operators need."""
