"""data/tensors"""
