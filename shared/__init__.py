"""What the four services share: the vocabulary, the topology and the adapters to broker, database and
Redis.
"""
