"""Operations on models (train, override, roll back, predict) and their command line."""
