"""Which modules cost accuracy, and the fastest mix of INT8 and float that keeps it."""
