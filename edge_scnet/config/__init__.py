"""What a user writes, read strictly: targets, projects and the options of a model."""
