"""Operations of a tenant: training, serving, tuning, marketplace and Refiner."""
