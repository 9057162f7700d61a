"""What the containers need beside their images: one home, prepared as the local start prepares its own.

Each container sees its own directory of it only.
"""
