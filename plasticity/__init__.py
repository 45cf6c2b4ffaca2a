"""Meta-learned three-factor plasticity in recurrent networks: companion of arXiv 2512.09366."""
