"""What was found, as documents: one file for each kind of thing that a command shows. report/formats/ prints them."""
