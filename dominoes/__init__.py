"""MNIST-CIFAR dominoes: datasets with exact prevalence, reliability and simplicity, and the curves of what is learned when."""

__version__ = "0.1.0"
