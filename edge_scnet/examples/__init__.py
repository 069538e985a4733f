"""Small networks and drawn data for every task, to try the tool with and to test it by."""
