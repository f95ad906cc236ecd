"""Pure numerics: numpy in, numbers out, papers cited.

Nothing here reads a file, a clock or the environment; randomness comes in as a `numpy.random.Generator`. What cannot be
computed (NaN, an empty sample, one class where two are needed) raises `ValueError`: a number that means nothing is
never returned, because a policy would compare it.
"""
