"""Client of Redis: its URL, the limit on its replies, and subscriptions."""
