"""The commands: what each flag means, and which rooms a command joins. No room below imports this one."""
