"""Pure statistics of times and answers, without input or output."""
