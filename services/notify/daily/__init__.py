"""What a day came to: its numbers, its picture, its report, and its loss while it lasts."""
