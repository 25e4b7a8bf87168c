"""A believable AWS estate on this machine: moto's server over seeded accounts, and a guard that nothing leaves it."""
