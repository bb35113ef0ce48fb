"""The parts of the kill test: commands, deaths, and a launcher that dies at a change of the disk."""
