"""Fine-tuning inside a production of InterSystems IRIS: Business Operations over `ibformers.tuning` (extra `iris`)."""
