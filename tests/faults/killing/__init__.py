"""What the kill test is made of: commands, ways to die, and a launcher that dies at a change of the disk."""
