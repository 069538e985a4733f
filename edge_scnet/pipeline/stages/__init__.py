"""The stages that make the files of a build folder."""
