"""data/split"""
