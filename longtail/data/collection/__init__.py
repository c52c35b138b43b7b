"""data/collection"""
