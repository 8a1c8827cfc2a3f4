"""The scheduler decides which request does what next: pure logic that owns neither threads, nor time, nor
engines.
"""
