"""Training code for document models: what an environment runs, and what a trained model is served with.

The folder is pushed as files, and a copy of it is packaged beside every trained model, so it imports nothing but its
own modules, numpy, torch, transformers, tokenizers, safetensors and accelerate. `ibformers.tuning`, which a packaged
model does without, also needs pydantic and sqlalchemy, and `ibformers.iris`, which runs inside IRIS alone, iop.
"""
