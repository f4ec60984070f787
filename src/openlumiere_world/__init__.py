"""Worlds that the carried models are taught: what is drawn, and the sentences that say it. The
engine never imports them.
"""
