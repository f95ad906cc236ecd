"""Boosted trees as ONNX: read from XGBoost's, LightGBM's and scikit-learn's own forms, and written by one writer.

Used by the recipe's job, for what a project trains, and by the intake's, for what comes from outside.
"""
