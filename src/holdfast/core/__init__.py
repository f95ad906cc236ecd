"""The seven nouns: artifact, evidence, seal, policy, ledger, guard, machine; pure values and decisions, no I/O."""
