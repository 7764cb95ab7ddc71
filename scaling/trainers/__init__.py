"""What executes a run besides the built-in loop: any command, or a program that writes its own records."""
