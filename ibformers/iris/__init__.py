"""Business Operations for fine-tuning inside a production of InterSystems IRIS (extra `iris`)."""
