"""Token ids in, token ids out, many sequences at once. Knows no chat, no cloud, no policy."""
