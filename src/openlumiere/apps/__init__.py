"""What people call: the command."""
