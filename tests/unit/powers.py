"""An experiment over links with budgets; ``{series}`` says what is evaluated."""

EXPERIMENT = """
name: powers
title: Powers
profile: tiny
variants:
  system: {{}}
  blind: {{alignment: none, modalities: []}}
links:
  near: {{extends: awgn, budget: {{path_loss_db: 110}}}}
  far: {{extends: awgn, budget: {{distance_m: 200, tx_power_dbm: 20}}}}
  two: {{extends: awgn, budget: {{distance_m: {{audio: 50, video: 100}}}}}}
evaluate:
  - {{variants: [system, blind], {series}}}
figures: [accuracy_vs_snr]
"""
